"""The body of a request: read as it comes, within limits."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from aiohttp import StreamReader, web

from deepaas.api.requests.forms import MAX_TEXT_BYTES, read_multipart
from deepaas.api.requests.texts import is_json_type, parse_form
from deepaas.api.requests.uploads import Uploads
from deepaas.arguments import Argument
from deepaas.arguments.json_text import check_charset, parse_json
from deepaas.errors import BadBody, BodyTooLarge, UnsupportedMediaType

WBITS = {"gzip": 31, "deflate": 15}
"""Content codings of a body, with the window bits by which zlib knows them."""

MAX_PACKED_BYTES = 8192
"""Bytes of a packed body that are unpacked in one step."""

MAX_UNPACKED_BYTES = 65536
"""Bytes that one step of unpacking yields."""

BODY_READ_TIMEOUT = 60.0
"""Seconds that a body may pause."""

MAX_FRAMING_BYTES = 65536
"""Bytes that a form may have above the limit, so that a file of just the limit fits."""

MAX_PARSED_JSON_BYTES = 1024 * 1024
"""Bytes of a JSON body up to which the server parses it.

Python's parser holds the interpreter's lock, for up to 0.2 s at 1 MiB.
"""

MAX_UNTHREADED_BYTES = 16 * 1024
"""Bytes of text up to which its values are read on the event loop."""


class Body(NamedTuple):
    """The values of a body, by the callers' names."""

    form: Mapping[str, Any] = MappingProxyType({})
    json: Mapping[str, Any] = MappingProxyType({})
    size: int = 0
    """Bytes of text."""
    known: bool = True
    """The body's media type is one that the server reads."""
    dropped: Collection[str] = ()
    """Names of parts that were not kept."""
    json_file: str | None = None
    """The path of a large JSON body, which is not parsed in the server."""


NO_BODY = Body()


async def read_body(
    request: web.Request,
    max_size: int,
    known: Mapping[str, Argument],
    uploads: Uploads,
) -> Body:
    """Read a body of at most `max_size` bytes; its files go to `uploads`.

    0 means no limit. Parts of a form that are not `known` are dropped, except for their
    names. Raises BadBody, BodyTooLarge, InvalidArguments, NoSpace,
    UnsupportedMediaType.
    """
    kind = request.content_type
    with BodyErrors():
        if kind == "multipart/form-data":
            chunks = Chunks(request, max_size, MAX_FRAMING_BYTES)
            read = await read_multipart(request, chunks, known, uploads)
            size = MAX_TEXT_BYTES - read.text_left
            return Body(form=read.values, size=size, dropped=read.unknown)
        parse = _parser(kind)
        charset = request.charset
        if parse and (small := read_small(request, max_size)) is not None:
            return parse(small, charset)
        chunks = Chunks(request, max_size)
        if parse is None:
            return Body(known=False)
        if parse is _json_body:
            text, file = await _read_json(chunks, uploads)
            if file is not None:
                if charset is not None:
                    check_charset(charset)
                return Body(json_file=file)
        else:
            text = await _read_text(chunks)
        if len(text) <= MAX_UNTHREADED_BYTES:
            return parse(text, charset)
        return await asyncio.to_thread(parse, text, charset)


class BodyErrors:
    """Raises BadBody for a body that is cut off or cannot be decoded.

    It is a class because a generator takes three times as long, in each call.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        if isinstance(error, (web.RequestPayloadError, ConnectionError)):
            raise BadBody("The body ended before its time.") from error
        if isinstance(error, (UnicodeError, LookupError)):
            raise BadBody(f"The body cannot be decoded: {error}.") from error


def _parser(kind: str) -> Callable[[bytes | bytearray, str | None], Body] | None:
    """Return the function for the text of a media type; None for an unknown type."""
    if kind == "application/x-www-form-urlencoded":
        return _form_body
    return _json_body if is_json_type(kind) else None


def _form_body(text: bytes | bytearray, charset: str | None) -> Body:
    return Body(form=parse_form(text, charset), size=len(text))


def _json_body(text: bytes | bytearray, charset: str | None) -> Body:
    return Body(json=parse_json(text, charset), size=len(text))


# -- bytes as they come


def read_small(
    request: web.Request, max_size: int, limit: int = MAX_UNTHREADED_BYTES
) -> bytes | None:
    """Return a small body if it has arrived already, as most have; else None.

    It is small up to `limit` bytes, if it is not packed. Raises BodyTooLarge.
    """
    content = request.content
    size = content.total_bytes
    if not (size <= limit and content.is_eof()):
        return None
    if "Content-Encoding" in request.headers:
        return None
    _check_size(size, max_size, max_size)
    return content.read_nowait()


def _check_size(size: int, limit: int, max_size: int) -> None:
    if limit and size > limit:
        raise BodyTooLarge(
            f"The body is larger than {max_size} bytes (client-max-size)."
        )


class Chunks(AsyncIterator[bytes]):
    """Yields a body as it comes, unpacked. Raises BodyTooLarge over its limits.

    `framing` is the number of bytes that it may have above the limit.
    """

    def __init__(self, request: web.Request, max_size: int, framing: int = 0) -> None:
        self._content = request.content
        self._max_size = max_size
        self._limit = max_size + framing if max_size else 0
        self._received = 0
        self._unpacked = 0
        self._pieces: Iterator[bytes] = iter(())
        coding = request.headers.get("Content-Encoding", "").strip().lower()
        self._packed = None if coding in ("", "identity") else _Packed(coding)
        self._check(request.content_length or 0)

    async def __anext__(self) -> bytes:
        if self._packed is None:
            if not (data := await self._receive()):
                raise StopAsyncIteration
            return data
        while True:
            for piece in self._pieces:
                self._unpacked += len(piece)
                self._check(self._unpacked)
                await asyncio.sleep(0)  # unpacking never waits: let other requests run
                if piece:
                    return piece
            if not (data := await self._receive()):
                self._packed.check_end()
                raise StopAsyncIteration
            self._pieces = self._packed.unpack(data)

    async def _receive(self) -> bytes:
        """Return the bytes that have come, or else the next ones; none at the end."""
        data = self._content.read_nowait()
        if not data and not self._content.at_eof():
            loop = asyncio.get_running_loop()
            timer = loop.call_later(BODY_READ_TIMEOUT, _stop, self._content)
            try:
                data = await self._content.readany()
            finally:
                timer.cancel()
        self._received += len(data)
        self._check(self._received)
        return data

    def _check(self, size: int) -> None:
        _check_size(size, self._limit, self._max_size)


def _stop(content: StreamReader) -> None:
    """Stop reading a body that has stopped coming."""
    content.set_exception(BadBody("The body stopped coming.", status=408))


class _Packed:
    """Undoes a content coding (RFC 9110, section 8.4.1), a piece at a time.

    aiohttp's own does not notice a body that is cut off, and leaves requests without
    an answer.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._member: Any = None
        if coding not in WBITS:
            raise UnsupportedMediaType(
                f"A body with Content-Encoding {coding} cannot be read.",
                headers={"Accept-Encoding": ", ".join(WBITS)},
            )

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """Yield unpacked pieces; some may be empty."""
        left = memoryview(data)
        while left:
            if self._member is None:
                self._member = zlib.decompressobj(WBITS[self._coding])
            # zlib copies the input that it has not used.
            packed = left[:MAX_PACKED_BYTES]
            try:
                yield self._member.decompress(packed, MAX_UNPACKED_BYTES)
            except zlib.error as error:
                raise BadBody(f"The body is not {self._coding}: {error}.") from error
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
        if len(text) > MAX_TEXT_BYTES:
            raise BodyTooLarge(
                f"The body has more than {MAX_TEXT_BYTES} bytes of text; "
                "send a file for more."
            )
    return text


async def _read_json(
    chunks: AsyncIterator[bytes], uploads: Uploads
) -> tuple[bytearray, str | None]:
    """Read JSON: return its text, or the path of a file that holds a large one."""
    text = bytearray()
    file = None
    async for chunk in chunks:
        if file is not None:
            await file.write(chunk)
            continue
        text += chunk
        if len(text) > MAX_PARSED_JSON_BYTES:
            file = uploads.open_json()
            await file.write(text)
            text = bytearray()
    if file is None:
        return text, None
    await file.close()
    return text, file.value.filename
