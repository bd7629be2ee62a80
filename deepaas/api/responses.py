"""Responses: JSON of our own, and what a model's reply looks like in HTTP."""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from aiohttp import web

from deepaas.encoding import encode_json
from deepaas.errors import DeepaasError, Gone, ModelRaised
from deepaas.executors import Ended, Event, Reply
from deepaas.quality import gzip_weights

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID = web.RequestKey("request_id", str)
"""What a caller and the logs know a request by."""

ENDED = web.RequestKey("ended", Ended)
"""How the call went that a request has made, when it is over."""

JOB = web.RequestKey("job", str)
"""The uuid of the job that a request has begun."""

IGNORED = web.RequestKey("ignored", str)
"""The names that a caller sent and that are no arguments, safe for headers and logs."""

SMALL = 1024
"""Bytes up to which an answer is not worth compressing."""

SLOW = 65536
"""Bytes from which an answer is compressed off the event loop."""

NOSNIFF = {"X-Content-Type-Options": "nosniff"}
"""Keeps a browser from running what a model calls plain text."""

CHUNK = 256 * 1024
"""Bytes of a large answer that are handed to the socket at once."""

CONDITIONS = (
    *("If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"),
    *("If-Range", "Range"),
)
"""What a caller may ask of a file, but not of a call."""


NO_HEADERS: Mapping[str, str] = MappingProxyType({})

CLIENT = web.RequestKey("client", str)
"""The caller's address, where a trusted proxy has told it."""

PREFIX = web.RequestKey("prefix", str)
"""The path under which a trusted proxy has us, and which it has cut off."""


def prefix(request: web.Request) -> str:
    """Return what our own paths begin with for this caller."""
    found: str = request.get(PREFIX, "")
    return found


def log_failure(request: web.Request, error: DeepaasError) -> None:
    """Log what a model has raised, if it is not the caller's fault."""
    if isinstance(error, ModelRaised) and error.status >= 500:
        request_id = request[REQUEST_ID]
        logger.error(
            "%s: %s\n%s",
            request_id,
            error,
            error.traceback,
            extra={"extra": {"request_id": request_id}},
        )


def note_end(request: web.Request, event: Event) -> None:
    """Keep how the call of a request has ended."""
    if isinstance(event, Ended):
        request[ENDED] = event


def both(method: Any, path: str, handler: Any) -> list[web.RouteDef]:
    """Route a path with and without its trailing slash: no client is redirected."""
    return [method(path, handler), method(f"{path}/", handler)]


def json_response(
    value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer with JSON, of whatever has a JSON form."""
    return web.Response(
        status=status,
        headers=headers,
        body=encode_json(value),
        content_type="application/json",
        zlib_executor_size=SLOW,
    )


def compress(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Compress text and JSON where the caller takes it."""
    if (
        isinstance(response, web.Response)
        and isinstance(response.body, bytes | bytearray)
        and _may_compress(request, response, len(response.body))
    ):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def _may_compress(
    request: web.Request, response: web.StreamResponse, size: int
) -> bool:
    """Tell whether an answer is sent compressed; it says what that depends on."""
    accepted = ",".join(request.headers.getall("Accept-Encoding", ()))
    worthwhile = size > SMALL and _is_text(response.content_type)
    if not worthwhile and (not size or ";" not in accepted):
        return False
    gzip, plain = gzip_weights(accepted)
    if not worthwhile and (plain or not gzip):
        return False  # or the caller refuses it as it is
    response.headers["Vary"] = "Accept-Encoding"
    return gzip > 0 and gzip >= plain


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("/json", "+json"))


async def send(
    request: web.Request, reply: Reply, *, headers: Mapping[str, str] = NO_HEADERS
) -> web.StreamResponse:
    """Answer with what a model returned."""
    headers = {**headers, "Content-Type": reply.media_type, **NOSNIFF}
    if reply.filename:
        headers["Content-Disposition"] = _disposition(reply)
    if reply.stream is not None:
        async with contextlib.aclosing(reply.stream) as pieces:
            return await _send_stream(request, pieces, reply)
    if reply.path is not None:
        return await _send_file(request, reply, headers)
    body = reply.body or b""
    response = web.StreamResponse(headers=headers)
    if len(body) <= CHUNK or _may_compress(request, response, len(body)):
        body = bytes(body)
        return web.Response(body=body, headers=headers, zlib_executor_size=SLOW)
    response.content_length = len(body)
    await response.prepare(request)
    view = memoryview(body)
    for start in range(0, len(view), CHUNK):
        await response.write(view[start : start + CHUNK])
    return response


async def begin_stream(
    request: web.Request, media_type: str, size: int | None = None
) -> web.StreamResponse:
    """Begin an answer that is sent bit by bit, and that no proxy is to hold back.

    `size` is its length in bytes, None if that is not known.
    """
    headers = {
        "Content-Type": media_type,
        **NOSNIFF,
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
    }
    response = web.StreamResponse(headers=headers)
    response.content_length = size
    await response.prepare(request)
    return response


async def _send_stream(
    request: web.Request, pieces: AsyncIterator[bytes], reply: Reply
) -> web.StreamResponse:
    response = await begin_stream(request, reply.media_type, reply.size)
    try:
        async for piece in pieces:
            await response.write(piece)
    except DeepaasError as error:
        log_failure(request, error)
        last = _last_piece(reply.media_type, error) if reply.size is None else None
        if last is not None:
            await response.write(last)
        elif request.transport is not None:
            request.transport.abort()  # or it would look whole
    return response


def _last_piece(media_type: str, error: DeepaasError) -> bytes | None:
    """Return how a stream says that it has failed, None where its type cannot."""
    body = encode_json(error.body())
    pieces = {
        "application/x-ndjson": body + b"\n",
        "text/event-stream": b"event: error\ndata: " + body + b"\n\n",
    }
    return pieces.get(media_type.partition(";")[0])


async def _send_file(
    request: web.Request, reply: Reply, headers: Mapping[str, str]
) -> web.StreamResponse:
    assert reply.path is not None
    response = _FileResponse(reply.path, headers=headers)
    try:
        size = (await asyncio.to_thread(os.stat, reply.path)).st_size
        seen = _as_for_a_file(request)
        compressed = _may_compress(request, response, size)
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


def _as_for_a_file(request: web.Request) -> web.Request:
    """Return a request as aiohttp is to see it when it sends a file.

    To those who take gzip it would send what lies beside the file as `.gz`; and what a
    call returns is no page that may have been modified since. The origin decides on
    the headers that a page of another one needs.
    """
    names = ("Origin", *(() if request.method == "POST" else CONDITIONS))
    given = {name: request.headers.get(name, "") for name in names}
    return request.clone(headers={n: v for n, v in given.items() if v and v.isascii()})


def _check_range(request: web.Request, size: int) -> None:
    """Refuse a range that there is not; aiohttp would not say why."""
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
    """Name a file as RFC 6266 has it: shown where a browser can, else saved."""
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
