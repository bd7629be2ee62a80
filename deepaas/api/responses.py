"""Responses: our own JSON, and a model's reply as an HTTP response."""

import asyncio
import contextlib
import functools
import logging
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from aiohttp import web

from deepaas.api.content_coding import may_compress
from deepaas.api.context import CONTEXT
from deepaas.api.routes import ErrorBody, find_rule
from deepaas.encoding import encode_json
from deepaas.errors import DeepaasError, Gone, ModelRaised
from deepaas.executors import Reply
from deepaas.media_types import EVENT_STREAM, JSON, NDJSON, without_parameters
from deepaas.sse import encode_event

logger = logging.getLogger(__name__)

MIN_THREADED_COMPRESS_BYTES = 65536
"""Bytes from which an answer is compressed off the event loop."""

WRITE_CHUNK_BYTES = 256 * 1024
"""Bytes of a large answer that are handed to the socket in one step."""

NOSNIFF = {"X-Content-Type-Options": "nosniff"}
"""Keeps a browser from running what a model declares as plain text."""

_ACTIVE = re.compile("html|xml|xsl|multipart|message/", re.IGNORECASE)
"""Found in the types of answers in which a browser runs scripts when it opens them.

Parameters are searched too: a browser takes `text/plain;a, text/html` for HTML.
"""

SANDBOX = {"Content-Security-Policy": "sandbox"}
"""Keeps scripts in a model's answer from running as if they were the server's own.

A page elsewhere can open an answer, for example with a form that it sends to predict.
"""

CONDITIONS = (
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
)
"""Headers that apply to a request for a file, but not to a call."""


NO_HEADERS: Mapping[str, str] = MappingProxyType({})


def log_failure(request: web.Request, error: DeepaasError) -> None:
    """Log an exception of a model, unless the caller caused it."""
    if isinstance(error, ModelRaised) and error.status >= 500:
        request_id = request[CONTEXT].request_id
        logger.error(
            "%s: %s\n%s",
            request_id,
            error,
            error.traceback,
            extra={"extra": {"request_id": request_id}},
        )


def json_response(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with JSON of any value that has a JSON form."""
    return web.Response(
        status=status,
        headers=headers,
        body=encode_json(value),
        content_type=JSON,
        zlib_executor_size=MIN_THREADED_COMPRESS_BYTES,
    )


async def send(
    request: web.Request, reply: Reply, *, headers: Mapping[str, str] = NO_HEADERS
) -> web.StreamResponse:
    """Answer with a model's reply."""
    headers = {**_protect(reply.media_type), **headers}
    if reply.filename:
        headers["Content-Disposition"] = _disposition(reply)
    if reply.stream is not None:
        async with contextlib.aclosing(reply.stream) as pieces:
            return await _send_stream(request, pieces, reply, headers)
    if reply.path is not None:
        return await _send_file(request, reply, headers)
    body = reply.body or b""
    if len(body) > WRITE_CHUNK_BYTES:
        response = web.StreamResponse(headers=headers)
        if not may_compress(request, response, len(body)):
            return await _send_large(request, response, body)
    return web.Response(
        body=bytes(body),
        headers=headers,
        zlib_executor_size=MIN_THREADED_COMPRESS_BYTES,
    )


async def _send_large(
    request: web.Request, response: web.StreamResponse, body: bytes | memoryview
) -> web.StreamResponse:
    response.content_length = len(body)
    await response.prepare(request)
    await _write(response, body)
    return response


async def send_parts(
    request: web.Request,
    parts: Sequence[bytes | memoryview],
    headers: Mapping[str, str],
) -> web.StreamResponse:
    """Answer with the bytes of all parts, one after another."""
    headers = {**headers, **NOSNIFF}
    size = sum(map(len, parts))
    if size <= WRITE_CHUNK_BYTES:
        return web.Response(body=b"".join(parts), headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    await response.prepare(request)
    for part in parts:
        await _write(response, part)
    return response


async def _write(response: web.StreamResponse, body: bytes | memoryview) -> None:
    """Hand a large body to the socket, a piece at a time."""
    view = memoryview(body)
    for start in range(0, len(view), WRITE_CHUNK_BYTES):
        await response.write(view[start : start + WRITE_CHUNK_BYTES])


@functools.lru_cache(maxsize=64)
def _protect(media_type: str) -> Mapping[str, str]:
    """Return the type of a model's answer, and what keeps it from doing harm."""
    headers = {"Content-Type": media_type, **NOSNIFF}
    if _ACTIVE.search(media_type):
        headers |= SANDBOX
    return MappingProxyType(headers)


async def begin_stream(
    request: web.Request,
    media_type: str,
    size: int | None = None,
    headers: Mapping[str, str] = NO_HEADERS,
) -> web.StreamResponse:
    """Begin an answer that is sent in pieces, and that proxies must not hold back.

    `size` is its length in bytes, None if that is not known.
    """
    headers = {
        **headers,
        **_protect(media_type),
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
    }
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    await response.prepare(request)
    return response


async def _send_stream(
    request: web.Request,
    pieces: AsyncIterator[bytes],
    reply: Reply,
    headers: Mapping[str, str],
) -> web.StreamResponse:
    response = await begin_stream(request, reply.media_type, reply.size, headers)
    try:
        async for piece in pieces:
            await response.write(piece)
    except DeepaasError as error:
        log_failure(request, error)
        write = find_rule(request).error_body
        last = None
        if reply.size is None:
            last = _last_piece(reply.media_type, error, write)
        if last is not None:
            await response.write(last)
        elif request.transport is not None:
            request.transport.abort()  # else it would look complete
    return response


def _last_piece(
    media_type: str, error: DeepaasError, error_body: ErrorBody
) -> bytes | None:
    """Return the piece of a stream that reports a failure; None if it has none."""
    body = encode_json(error_body(error))
    pieces = {
        NDJSON: body + b"\n",
        EVENT_STREAM: encode_event(body, "error"),
    }
    return pieces.get(without_parameters(media_type))


async def _send_file(
    request: web.Request, reply: Reply, headers: Mapping[str, str]
) -> web.StreamResponse:
    assert reply.path is not None
    response = _FileResponse(reply.path, headers=headers)
    try:
        size = (await asyncio.to_thread(os.stat, reply.path)).st_size
        seen = _for_file(request)
        compressed = may_compress(request, response, size)
        if "Range" not in seen.headers:
            if compressed:
                response.enable_compression(web.ContentCoding.gzip)
        elif "If-Range" not in seen.headers:
            _check_range(seen, size)
        await response.prepare(seen)
    except FileNotFoundError as error:
        raise Gone("The file is gone.") from error
    finally:
        if reply.delete:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(reply.path)
    return response


def _for_file(request: web.Request) -> web.Request:
    """Return a request with the only headers that aiohttp needs to send a file.

    With Accept-Encoding, aiohttp would send a file beside this one that ends in `.gz`.
    The conditions are for pages with a date of modification, which the result of a POST
    is not. Origin decides on the headers for pages of other origins.
    """
    names = ("Origin", *(() if request.method == "POST" else CONDITIONS))
    given = {name: request.headers.get(name, "") for name in names}
    return request.clone(headers={n: v for n, v in given.items() if v and v.isascii()})


def _check_range(request: web.Request, size: int) -> None:
    """Refuse a range outside the file with a message, which aiohttp leaves out."""
    try:
        start = request.http_range.start
    except ValueError:
        start = size
    if start is not None and start >= size:
        raise DeepaasError(
            f"There is no such range in {size} bytes.",
            status=416,
            headers={"Content-Range": f"bytes */{size}"},
        )


class _FileResponse(web.FileResponse):
    """A file that the handler itself sends, while its call still holds the file."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        # aiohttp prepares what a handler returns, and would look for the file again.
        return None if self.prepared else await super().prepare(request)


def _disposition(reply: Reply) -> str:
    """Name a file by RFC 6266, to be shown by browsers if they can, else saved."""
    assert reply.filename is not None
    shown = ("image/", "text/", "audio/", "video/", "application/json")
    kind = "inline" if reply.media_type.startswith(shown) else "attachment"
    plain = reply.filename.encode("ascii", "replace").decode()
    plain = plain.replace("\\", "_").replace('"', "_")
    plain = "".join(c if c.isprintable() else "_" for c in plain)
    value = f'{kind}; filename="{plain}"'
    if plain != reply.filename:
        name = reply.filename.encode("utf-8", "surrogateescape")
        value += f"; filename*=UTF-8''{quote(name)}"
    return value
