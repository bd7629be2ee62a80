"""The body of a request: read as it comes, within limits; its files go to disk."""

import asyncio
import codecs
import contextlib
import json
import json.scanner
import os
import re
import tempfile
import urllib.parse
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, Protocol

from aiohttp import StreamReader, web
from multidict import MultiDict
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from deepaas.errors import (
    BadBody,
    BodyTooLarge,
    InvalidArguments,
    UnsupportedMediaType,
    disk_errors,
)
from deepaas.model.v2.wrapper import UploadedFile

MAX_PARTS = 1000
"""Parts of a form, at the most."""

CODINGS = {"gzip": 31, "deflate": 15}
"""What a body may be packed with, and zlib's word for it."""

PACKED = 8192
"""Bytes of a packed body that are looked at at once."""

UNPACKED = 65536
"""Bytes that are made of them at once."""

NO_CHARSETS = (
    *("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"),
    "utf-7",
)
"""What Python can decode and nobody writes texts in; some take quadratic time."""

MAX_FIELDS = 100_000
"""Fields of a form that is no multipart, at the most."""

MAX_TEXT = 8 * 1024 * 1024
"""Bytes of a JSON body or of all the text in a form. Values take up to 25 times as much
memory, and looking through so many of them holds up everybody for up to 0.2 s."""

FILENAME = re.compile(r""";\s*filename\*\s*=\s*"?([\w.:-]+)'[^']*'([^;"\s]+)""", re.I)
"""A filename as RFC 5987 has it."""

PATIENCE = 60.0
"""Seconds that a body may pause."""

FRAMING = 65536
"""Bytes by which a form may be over the limit: a file of just the limit fits."""

SLOW = 16 * 1024
"""Bytes of text from which its values are read off the event loop."""

LONG = 1024 * 1024
"""Characters of JSON from which the lock of the interpreter is let go meanwhile."""

SMALL = 2 * 1024 * 1024
"""Bytes of an upload that are written as they come, on the event loop: the page cache
takes them sooner than a thread would begin."""

WRITE = 256 * 1024
"""Bytes of the rest of an upload that are written at once, off the event loop."""


class Body(NamedTuple):
    """What a body holds."""

    form: Mapping[str, Any] = MappingProxyType({})
    json: Mapping[str, Any] = MappingProxyType({})
    size: int = 0
    """Bytes of text."""
    known: bool = True
    """Its type is one of ours."""


NO_BODY = Body()


class Known(Protocol):
    """What has to be known of a form's field beforehand."""

    @property
    def is_file(self) -> bool: ...

    @property
    def multiple(self) -> bool: ...


async def read_body(
    request: web.Request, max_size: int, known: Mapping[str, Known], uploads: "Uploads"
) -> Body:
    """Read a body of at most `max_size` bytes, 0 for any; its files go to `uploads`.

    Parts of a form that are not `known` are dropped. Raises BadBody, BodyTooLarge,
    InvalidArguments, NoSpace, UnsupportedMediaType.
    """
    kind = request.content_type
    chunks = _Chunks(request, max_size)
    try:
        if kind == "multipart/form-data":
            read = await _read_multipart(request, chunks, known, uploads)
            return Body(form=read.values, size=MAX_TEXT - read.text_left)
        parse: Callable[[bytes | bytearray], Body]
        if kind == "application/x-www-form-urlencoded":
            parse = partial(_form_body, charset=request.charset or "utf-8")
        elif kind == "application/json" or kind.endswith("+json"):
            parse = _json_body
        else:
            return Body(known=False)
        if (small := chunks.small()) is not None:
            return parse(small)
        text = await _read_text(chunks)
        if len(text) <= SLOW:
            return parse(text)
        return await asyncio.to_thread(parse, text)
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadBody("The body ended before its time.") from error
    except (UnicodeError, LookupError) as error:
        raise BadBody(f"The body cannot be decoded: {error}.") from error


# -- bytes as they come


class _Chunks(AsyncIterator[bytes]):
    """A body as it comes, unpacked, as long as it is within its limits."""

    def __init__(self, request: web.Request, max_size: int) -> None:
        self._content = request.content
        self._max_size = max_size
        self._limit = max_size
        if max_size and request.content_type == "multipart/form-data":
            self._limit += FRAMING
        self._received = 0
        self._unpacked = 0
        self._pieces: Iterator[bytes] = iter(())
        coding = request.headers.get("Content-Encoding", "").strip().lower()
        self._packed = None if coding in ("", "identity") else _Packed(coding)
        self._check(request.content_length or 0)

    def small(self) -> bytes | None:
        """Return a small body if it is there already, as most are; else None."""
        content = self._content
        if self._packed or not content.is_eof() or content.total_bytes > SLOW:
            return None
        data = content.read_nowait()
        self._check(len(data))
        return data

    async def __anext__(self) -> bytes:
        if self._packed is None:
            if not (data := await self._receive()):
                raise StopAsyncIteration
            return data
        while True:
            for piece in self._pieces:
                self._unpacked += len(piece)
                self._check(self._unpacked)
                await asyncio.sleep(0)  # unpacking waits for nobody, so others would
                if piece:
                    return piece
            if not (data := await self._receive()):
                self._packed.check_end()
                raise StopAsyncIteration
            self._pieces = self._packed.unpack(data)

    async def _receive(self) -> bytes:
        """Return what has come, or what comes next; nothing at the end."""
        data = self._content.read_nowait()
        if not data and not self._content.at_eof():
            with _watched(self._content):
                data = await self._content.readany()
        self._received += len(data)
        self._check(self._received)
        return data

    def _check(self, size: int) -> None:
        if self._limit and size > self._limit:
            raise BodyTooLarge(
                f"The body is larger than {self._max_size} bytes (client-max-size)."
            )


@contextlib.contextmanager
def _watched(content: StreamReader) -> Iterator[None]:
    """End the reading of a body that stops coming."""
    error = BadBody("The body stopped coming.", status=408)
    loop = asyncio.get_running_loop()
    timer = loop.call_later(PATIENCE, content.set_exception, error)
    try:
        yield
    finally:
        timer.cancel()


class _Packed:
    """Undoes a content coding (RFC 9110, section 8.4.1), a piece at a time.

    aiohttp's own does not notice a body that is cut off, and leaves requests without
    an answer.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._member: Any = None
        if coding not in CODINGS:
            raise UnsupportedMediaType(
                f"A body with Content-Encoding {coding} cannot be read.",
                headers={"Accept-Encoding": ", ".join(CODINGS)},
            )

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield pieces, empty ones among them."""
        left = memoryview(data)
        while left:
            if self._member is None:
                self._member = zlib.decompressobj(CODINGS[self._coding])
            # zlib copies what it leaves of its input.
            packed = left[:PACKED]
            try:
                yield self._member.decompress(packed, UNPACKED)
            except zlib.error as error:
                raise BadBody(f"The body is no {self._coding}: {error}.") from error
            rest = self._member.unused_data or self._member.unconsumed_tail
            left = left[len(packed) - len(rest) :]
            if self._member.eof:  # several members make one body
                self._member = None

    def check_end(self) -> None:
        if self._member is not None:
            raise BadBody("The body ended before its time.")


# -- text


async def _read_text(chunks: AsyncIterator[bytes]) -> bytearray:
    text = bytearray()
    async for chunk in chunks:
        text += chunk
        if len(text) > MAX_TEXT:
            raise BodyTooLarge(
                f"The body has more than {MAX_TEXT} bytes of text; "
                "send a file for more."
            )
    return text


def _form_body(text: bytes | bytearray, charset: str) -> Body:
    return Body(form=_parse_form(text, charset), size=len(text))


def _json_body(text: bytes | bytearray) -> Body:
    return Body(json=_parse_json(text), size=len(text))


def _parse_form(text: bytes | bytearray, charset: str) -> MultiDict[Any]:
    try:
        pairs = urllib.parse.parse_qsl(
            _decode(text.rstrip(), charset),
            keep_blank_values=True,
            encoding=charset,
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeError:
        raise
    except ValueError as error:
        raise BodyTooLarge(f"The form has more than {MAX_FIELDS} fields.") from error
    return MultiDict(pairs)


def _decode(text: bytes | bytearray, charset: str) -> str:
    """Decode a text. Raises UnicodeError, or LookupError for what is no charset."""
    if "\0" in charset or codecs.lookup(charset).name in NO_CHARSETS:
        raise LookupError(f"unknown encoding: {charset!r}")
    return text.decode(charset)


def _parse_json(text: bytes | bytearray) -> dict[str, Any]:
    if not text or text.isspace():
        return {}
    try:
        value = decode_json(text.decode(json.detect_encoding(text), "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise InvalidArguments({"json": ["Invalid JSON body."]}, status=400) from error
    if not isinstance(value, dict):
        raise InvalidArguments({"json": ["Must be a JSON object."]})
    return value


def decode_json(text: str) -> Any:
    """Decode JSON. Raises ValueError or RecursionError, TypeError for no text."""
    return (_DECODER if len(text) <= LONG else _LONG_DECODER).decode(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)

# The scanner in C is up to thirty times as fast, and holds the interpreter's lock.
_LONG_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_LONG_DECODER.scan_once = json.scanner.py_make_scanner(  # type: ignore[attr-defined]
    _LONG_DECODER
)


# -- forms and files


async def _read_multipart(
    request: web.Request,
    chunks: AsyncIterator[bytes],
    known: Mapping[str, Known],
    uploads: "Uploads",
) -> "_Form":
    _, options = parse_options_header(request.headers["Content-Type"])
    form = _Form(known, uploads)
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


class _Form:
    """A form as it comes in, part after part."""

    def __init__(self, known: Mapping[str, Known], uploads: "Uploads") -> None:
        self.values: MultiDict[Any] = MultiDict()
        self._known = known
        self._uploads = uploads
        self._part: MultipartSegment | None = None
        self._file: _Upload | None = None
        self._text = bytearray()
        self.text_left = MAX_TEXT

    async def feed(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take the head of a part, some of its content, or its end (None)."""
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            await self._end()
        elif self._file is not None:
            await self._file.write(event)
        elif self._part is not None:
            self.text_left -= len(event)
            if self.text_left < 0:
                raise BodyTooLarge(f"The form has more than {MAX_TEXT} bytes of text.")
            self._text += event

    def _begin(self, part: MultipartSegment) -> None:
        self._part = part if part.name in self._known else None
        if self._part is None:
            return
        known = self._known[part.name]
        _name_by_rfc5987(part)
        is_file = _is_file_part(part, known)
        if (
            (is_file or known.is_file)
            and not known.multiple
            and part.name in self.values
        ):
            raise InvalidArguments({part.name: ["Takes one file, not several."]})
        if is_file:
            self._file = self._uploads.open(part)

    async def _end(self) -> None:
        part, self._part = self._part, None
        file, self._file = self._file, None
        if file is not None:
            await file.close()
            # What a browser sends for an input in which no file was chosen.
            if file.size or file.value.original_filename:
                self.values.add(str(file.value.name), file.value)
        elif part is not None:
            text = _decode(self._text, part.charset or "utf-8")
            self._text.clear()
            self.values.add(part.name, text)


def _name_by_rfc5987(part: MultipartSegment) -> None:
    """Take a filename from where some clients put one that is not in ASCII."""
    if part.filename is None:
        header = part.header("Content-Disposition", "")
        if found := FILENAME.search(header):
            charset, name = found.groups()
            part.filename = urllib.parse.unquote(name, charset)


def _is_file_part(part: MultipartSegment, known: Known) -> bool:
    if part.filename is not None:
        return True
    return known.is_file and (part.content_type or "text/plain") != "text/plain"


@dataclass
class Uploads:
    """The files of one request."""

    files: list["_Upload"] = field(default_factory=list)

    def open(self, part: MultipartSegment) -> "_Upload":
        with disk_errors():
            upload = _Upload(part)
        self.files.append(upload)
        return upload

    async def remove(self) -> None:
        """Delete the files, off the event loop where that takes time."""
        if sum(file.size for file in self.files) > 64 * WRITE:
            await asyncio.to_thread(self._remove)
        else:
            self._remove()

    def _remove(self) -> None:
        for file in self.files:
            file.handle.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.handle.name)


class _Upload:
    """A file on its way to the disk."""

    def __init__(self, part: MultipartSegment) -> None:
        original = re.split(r"[\\/]", part.filename or "")[-1]
        # The end of the name is kept, since readers go by it: `.nii.gz`.
        tail = re.sub(r"[^A-Za-z0-9._-]", "_", original)[-64:]
        self.handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - see Uploads
            prefix="deepaas-", suffix=f"-{tail}", delete=False, buffering=0
        )
        self.value = UploadedFile(
            name=part.name,
            filename=self.handle.name,
            content_type=part.content_type or "application/octet-stream",
            original_filename=original or None,
        )
        self.size = 0
        self._pending = bytearray()

    async def write(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if self.size <= SMALL:
            with disk_errors():
                _write_all(self.handle, data)
            return
        self._pending += data
        if len(self._pending) >= WRITE:
            pending, self._pending = self._pending, bytearray()
            with disk_errors():
                await asyncio.to_thread(_write_all, self.handle, pending)

    async def close(self) -> None:
        with disk_errors():
            _write_all(self.handle, self._pending)
            self.handle.close()
        self._pending = bytearray()


def _write_all(handle: Any, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]
