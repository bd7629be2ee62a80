"""The port and its connections; answers a head that cannot be read as HTTP."""

import asyncio
import socket
import ssl
from collections.abc import Coroutine
from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from deepaas.api.access_log import AccessLogger
from deepaas.api.context import (
    CONTEXT,
    CONTROLS,
    REQUEST_ID_HEADER,
    RequestContext,
)
from deepaas.api.middleware import failure, new_request_id
from deepaas.errors import LEFT, cannot_listen

SEND_TIMEOUT = 60.0
"""Seconds for which a caller may receive nothing of what is sent."""

UNREADABLE = (HttpProcessingError, web.RequestPayloadError)
"""Raised for a request that cannot be read; their texts quote it, tokens too."""


class Connection(web.RequestHandler):
    """Answers an unreadable head with JSON, and never quotes the head."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sets the time-out for sending."""
        super().connection_made(transport)
        # A caller who stops reading would keep a streaming worker busy (tcp(7)).
        connection = transport.get_extra_info("socket")
        milliseconds = int(1000 * SEND_TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Returns the answer to a request that cannot be read, or that fails here."""
        if isinstance(exc, ConnectionResetError):  # before the application has it
            return web.Response(status=LEFT)
        if not isinstance(exc, UNREADABLE):
            return super().handle_error(request, status, exc, message)
        self.log_exception(exc_info=exc)
        return web.Response(status=status, reason="The request cannot be read.")

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Logs an error; of an unreadable request only the error's kind."""
        error = kw.get("exc_info")
        if isinstance(error, UNREADABLE):
            self.logger.info("A request cannot be read: %s", type(error).__name__)
        else:
            super().log_exception(*args, **kw)

    def finish_response(
        self,
        request: web.BaseRequest,
        resp: web.StreamResponse,
        start_time: float | None,
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Sends a response; one that is made here gets the form of all errors."""
        if CONTEXT not in request:  # the application's middlewares did not run
            request_id = new_request_id(request)
            request[CONTEXT] = RequestContext(request_id)
            message = {"message": resp.reason}
            resp = failure(resp.status, message, {REQUEST_ID_HEADER: request_id})
            resp.force_close()
        return super().finish_response(request, resp, start_time)


async def listen(
    runner: web.AppRunner,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    keepalive_timeout: float,
) -> asyncio.Server:
    """Accepts connections to an application from now on; the runner is set up.

    `keepalive_timeout` is in seconds. Raises StartError if another server has taken the
    port since it was bound.
    """
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    access_logger = partial(AccessLogger, runner.app[CONTROLS].log_request)
    connect = partial(
        Connection,
        runner.server,
        loop=loop,
        access_log_class=access_logger,  # type: ignore[arg-type]
        auto_decompress=False,  # api/requests/ does it
        keepalive_timeout=keepalive_timeout,
    )
    try:
        return await loop.create_server(connect, sock=listener, ssl=tls, backlog=128)
    except OSError as error:
        host, port = listener.getsockname()[:2]
        raise cannot_listen(host, port, error) from error
