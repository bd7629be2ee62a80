"""A multipart form as it comes in, part after part; its files go to disk."""

import binascii
import email.errors
import email.header
import re
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from multidict import MultiDict
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from deepaas.api.requests.texts import is_json_type
from deepaas.api.requests.transfer import Decoder, decoder_of
from deepaas.api.requests.uploads import Upload, Uploads
from deepaas.arguments import Argument
from deepaas.arguments.json_text import JSONPart, decode, decode_json_text
from deepaas.errors import BadBody, BodyTooLarge, InvalidArguments

MAX_PARTS = 1000
"""Most parts that a form may have."""

MAX_TEXT_BYTES = 8 * 1024 * 1024
"""Bytes of all the text in a form.

Values take up to 25 times as much memory, and reading so many of them delays other
requests by up to 0.2 s.
"""

_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)""")
"""A parameter of a header, `filename*` included, which multipart's own leaves out."""

_WORD = re.compile(r"=\?[^?]+\?[BbQq]\?[^?]*\?=")
"""An encoded word (RFC 2047)."""


async def read_multipart(
    request: web.Request,
    chunks: AsyncIterator[bytes],
    known: Mapping[str, Argument],
    uploads: Uploads,
) -> "Form":
    """Read a form; parts that are not `known` are dropped, except for their names.

    Raises BadBody, BodyTooLarge, InvalidArguments, NoSpace, UnsupportedMediaType.
    """
    _, options = parse_options_header(request.headers["Content-Type"])
    form = Form(known, uploads)
    try:
        with PushMultipartParser(
            options.get("boundary", ""), max_segment_count=MAX_PARTS
        ) as parser:
            async for chunk in chunks:
                for event in parser.parse(chunk):
                    await form.feed(event)
    except ParserLimitReached as error:
        raise BodyTooLarge(f"The form is over its limits: {error}.") from error
    except MultipartError as error:
        raise BadBody(f"The form is broken: {error}.") from error
    return form


class Form:
    """A form as it comes in."""

    def __init__(self, known: Mapping[str, Argument], uploads: Uploads) -> None:
        self.values: MultiDict[Any] = MultiDict()
        self.unknown: dict[str, None] = {}
        """The names of parts that were dropped, in their order."""
        self._known = known
        self._uploads = uploads
        self._argument: Argument | None = None
        self._name = ""
        self._part: MultipartSegment | None = None
        self._decoder: Decoder | None = None
        self._file: Upload | None = None
        self._text = bytearray()
        self.text_left = MAX_TEXT_BYTES

    async def feed(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take the head of a part, some of its content, or its end (None)."""
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif self._part is None:
            return  # it is dropped
        elif event is not None:
            await self._take(self._decoder.decode(event) if self._decoder else event)
        else:
            if self._decoder is not None:
                await self._take(self._decoder.end())
            await self._end()

    async def _take(self, data: bytes | bytearray) -> None:
        if self._file is not None:
            await self._file.write(data)
            return
        self.text_left -= len(data)
        if self.text_left < 0:
            raise BodyTooLarge(
                f"The form has more than {MAX_TEXT_BYTES} bytes of text."
            )
        self._text += data

    def _begin(self, part: MultipartSegment) -> None:
        name = _decode_words(part.name or "")
        argument = self._argument = self._known.get(name)
        if argument is None:
            self._part = None
            if name:
                self.unknown[name] = None
            return
        self._part, self._name = part, name
        part.name = argument.name
        part.filename = _filename(part)
        self._decoder = decoder_of(part)
        is_file = _is_file_part(part, argument)
        if (
            (is_file or argument.is_file)
            and not argument.multiple
            and part.name in self.values
        ):
            raise InvalidArguments({part.name: ["Takes one file, not several."]})
        if is_file:
            self._file = self._uploads.open(part)

    async def _end(self) -> None:
        part, self._part = self._part, None
        file, self._file = self._file, None
        assert part is not None
        assert self._argument is not None
        if file is not None:
            await file.close()
            # A browser sends an empty part without a name where no file was chosen.
            if file.size or file.value.original_filename:
                self.values.add(self._name, file.value)
        elif self._text or not self._argument.is_file:
            self.values.add(self._name, _text_of(part, self._argument, self._text))
        self._text.clear()


def _text_of(part: MultipartSegment, argument: Argument, text: bytearray) -> str:
    if argument.refuses_files and _is_json_part(part):
        return JSONPart(decode_json_text(text, part.charset))
    return decode(text, part.charset or "utf-8")


def _is_file_part(part: MultipartSegment, argument: Argument) -> bool:
    if part.filename is None:
        return argument.is_file and (part.content_type or "text/plain") != "text/plain"
    if not argument.refuses_files:
        return True
    # A browser gives each Blob a filename. A part of another type remains a file, and
    # the field refuses it.
    return not (_is_json_part(part) or part.content_type == "text/plain")


def _is_json_part(part: MultipartSegment) -> bool:
    kind = part.content_type or "application/octet-stream"
    if kind == "application/octet-stream":  # curl sends a .json file in this way
        return (part.filename or "").lower().endswith(".json")
    return is_json_type(kind)


# -- the names of files


def _filename(part: MultipartSegment) -> str | None:
    """Return a part's filename: `filename*` if it can be read, else `filename`."""
    header = part.header("Content-Disposition", "")
    extended = None
    if "*" in header:
        extended = next(
            (
                value.strip('" \t')
                for name, value in _PARAMETER.findall(header)
                if name.lower() == "filename*"
            ),
            None,
        )
    if extended is not None and (name := _decode_extended(extended)) is not None:
        return name
    if part.filename is not None:
        return _decode_words(part.filename)
    return None if extended is None else urllib.parse.unquote(extended)


def _decode_extended(text: str) -> str | None:
    """Decode a value by RFC 8187; None if it is malformed."""
    charset, quote, rest = text.partition("'")
    _, second, value = rest.partition("'")
    if not (quote and second):
        return None
    try:
        return decode(urllib.parse.unquote_to_bytes(value), charset)
    except (UnicodeError, LookupError):
        return None


def _decode_words(text: str) -> str:
    """Decode encoded words (RFC 2047), which .NET writes; malformed ones stay."""
    if "=?" not in text or not _WORD.search(text):
        return text
    try:
        return "".join(_decode_word(*word) for word in email.header.decode_header(text))
    except (UnicodeError, LookupError, binascii.Error, email.errors.HeaderParseError):
        return text


def _decode_word(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    # decode_header uses this encoding for the text between encoded words.
    return decode(piece, charset) if charset else piece.decode("raw-unicode-escape")
