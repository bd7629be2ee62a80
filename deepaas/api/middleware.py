"""The middleware around all others: request ids, errors as JSON, compression."""

import asyncio
import logging
import random
import re
from collections.abc import Mapping

from aiohttp import ClientConnectionResetError, web

from deepaas.api.content_coding import compress
from deepaas.api.context import (
    CONTEXT,
    REQUEST_ID_HEADER,
    Handler,
    RequestContext,
)
from deepaas.api.responses import log_failure
from deepaas.api.routes import find_rule
from deepaas.encoding import encode_json
from deepaas.errors import LEFT, DeepaasError
from deepaas.media_types import JSON

logger = logging.getLogger(__name__)

SANE_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
"""A caller's request id that may go into headers and logs."""


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Gives every request its id, every error its JSON, and text its compression."""
    request[CONTEXT] = RequestContext(new_request_id(request))
    began = asyncio.get_running_loop().time()
    try:
        return compress(request, await handler(request))
    except asyncio.CancelledError:
        # The caller has left, and so aiohttp would not log it.
        left = web.Response(status=LEFT)
        request.protocol.log_access(request, left, began)
        raise
    except Exception as error:
        if request.writer.output_size and request.transport is not None:
            request.transport.abort()  # the caller must not take a part for the whole
        return _answer_error(request, error)


def _answer_error(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, web.HTTPException) and error.status < 400:
        raise error
    if isinstance(error, ClientConnectionResetError):
        return web.Response(status=LEFT)
    described = _describe(request, error)
    log_failure(request, described)
    body = find_rule(request).error_body(described)
    return failure(described.status, body, described.headers)


def _describe(request: web.Request, error: Exception) -> DeepaasError:
    """Returns the error that the caller gets."""
    if isinstance(error, DeepaasError):
        return error
    if isinstance(error, web.HTTPException):
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        message = _explain(error, request)
        return DeepaasError(message, status=error.status, headers=allow)
    request_id, method, path = request[CONTEXT].request_id, request.method, request.path
    logger.error("%s: %s %s failed", request_id, method, path, exc_info=error)
    return DeepaasError("The server failed; see its log.")


def _explain(error: web.HTTPException, request: web.Request) -> str:
    if error.status == 404:
        return f"There is nothing at {request.path}."
    if error.status == 405:
        return f"{request.path} takes {error.headers['Allow']}, not {request.method}."
    return error.reason


def failure(status: int, body: object, headers: Mapping[str, str]) -> web.Response:
    """Returns the answer to a request that failed."""
    return web.Response(
        status=status, body=encode_json(body), headers=headers, content_type=JSON
    )


def new_request_id(request: web.BaseRequest) -> str:
    """Returns the caller's id of a request, if it is sane, or a new one."""
    given = request.headers.get(REQUEST_ID_HEADER)
    if given is not None and SANE_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"  # it has to be new, not secret


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Adds the headers that every answer has, when it is about to be sent."""
    context = request.get(CONTEXT)
    if context is None:
        return  # its header Expect was refused, before any middleware
    response.headers[REQUEST_ID_HEADER] = context.request_id
    if context.ignored is not None:
        response.headers["X-Ignored-Arguments"] = context.ignored
