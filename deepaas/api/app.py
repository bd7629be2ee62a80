"""create_app(): puts the parts together; the order of start and stop is here."""

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from aiohttp import ClientConnectionResetError, web
from aiohttp.typedefs import Middleware

from deepaas.api.examples import Examples
from deepaas.api.journal import Journal
from deepaas.api.metrics import Metrics
from deepaas.api.openapi import Documentation
from deepaas.api.operations import Operations, Readiness
from deepaas.api.pages import PUBLIC, Pages, absent_pages, opens_page
from deepaas.api.paths import merge_slashes
from deepaas.api.protection import (
    Tokens,
    allow_origins,
    authenticate,
    expect_later,
    heed_proxies,
)
from deepaas.api.responses import (
    IGNORED,
    REQUEST_ID,
    Handler,
    compress,
    log_failure,
)
from deepaas.api.v2 import V2, ServedModel
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.errors import LEFT, DeepaasError
from deepaas.executors import Executor
from deepaas.jobs.service import Jobs
from deepaas.model.adapter import ModelAdapter
from deepaas.model.loading import ModelRef

logger = logging.getLogger(__name__)

HEADER = "X-Request-ID"

JOURNAL = web.AppKey("journal", Journal)

READINESS = web.AppKey("readiness", Readiness)

TOKENS = web.AppKey("tokens", Tokens)
"""Absent where callers need none."""

HEALTH = ("/v2/health/live", "/v2/health/ready", "/v2/models/{model}/ready")
OPERATIONS = ("/metrics", "/v2/debug")
PAGES = ("/api", "/swagger.json")
"""What a browser opens."""

SANE_ID = re.compile(r"[A-Za-z0-9._:+/=@-]{1,128}")
"""A caller's request id that may go into headers and logs."""


def create_app(
    settings: Settings, executors: Mapping[ModelRef, Executor], jobs: Jobs
) -> web.Application:
    """Make the application that serves these models, and runs these jobs.

    Loads each model, and raises StartError for one that cannot be served. The
    executors are started with the application; they and the jobs are closed with it.
    """
    tokens = Tokens(settings.auth_token_file) if settings.auth_token_file else None
    app = web.Application(
        middlewares=_middlewares(settings, tokens),
        client_max_size=settings.client_max_size,
    )
    models = {
        ref.name: ServedModel(ModelAdapter(ref, shared=True), executor)
        for ref, executor in executors.items()
    }
    if tokens is not None:
        app[TOKENS] = tokens
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(_lifetime(list(executors.values()), jobs))
    app.on_shutdown.append(_stop(jobs, settings.shutdown_grace))
    base = settings.base_path
    by_name = {name: model.executor for name, model in models.items()}
    routes = V2(models, jobs, settings).routes()
    metrics = Metrics(by_name)
    journal = app[JOURNAL] = Journal(metrics, by_name)
    readiness = app[READINESS] = Readiness()
    operations = Operations(metrics, journal, jobs, settings, readiness)
    routes += operations.routes()
    if settings.debug_endpoint:
        app.cleanup_ctx.append(operations.recorder)
    adapters = [model.adapter for model in models.values()]
    examples = Examples(adapters, base)
    routes += examples.routes()
    routes += Documentation(adapters, settings, examples.addresses()).routes()
    routes += Pages(base).routes() if settings.doc_endpoint else absent_pages(base)
    if tokens is not None:
        for route in routes:
            if isinstance(route, web.RouteDef):
                route.kwargs["expect_handler"] = expect_later
    app.add_routes(routes)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    merge_slashes(app)
    return app


def _middlewares(settings: Settings, tokens: Tokens | None) -> list[Middleware]:
    middlewares: list[Middleware] = [answer]
    if settings.trusted_proxies:
        middlewares.append(heed_proxies(settings.trusted_proxies))
    if tokens is not None:
        base = settings.base_path
        public = [*HEALTH, *PUBLIC, *(OPERATIONS if settings.open_metrics else ())]
        middlewares.append(
            authenticate(
                tokens,
                public=[base + path for path in public],
                pages=[base + path for path in PAGES],
                cors=bool(settings.cors_origins),
                is_public=lambda request: (
                    settings.doc_endpoint
                    and request.path.rstrip("/") == base
                    and opens_page(request)
                ),
            )
        )
    return middlewares


def _lifetime(
    executors: list[Executor], jobs: Jobs
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        for executor in executors:
            executor.launch()
        try:
            await jobs.open()
            for executor in executors:
                await executor.start()
            yield
        finally:
            await jobs.close()  # while their workers are there
            for executor in executors:
                await executor.close(grace=0)

    return context


def _stop(jobs: Jobs, grace: float) -> Callable[[web.Application], Awaitable[None]]:
    """End the trainings before handlers are waited for: some of them follow one."""

    async def stop(app: web.Application) -> None:
        jobs.stop(grace)

    return stop


@web.middleware
async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request its id, every error its JSON, and text its compression."""
    request[REQUEST_ID] = new_request_id(request)
    began = asyncio.get_running_loop().time()
    try:
        return compress(request, await handler(request))
    except asyncio.CancelledError:
        # Nobody is left to answer, and so aiohttp would not log it.
        left = web.Response(status=LEFT)
        request.protocol.log_access(request, left, began)
        raise
    except Exception as error:
        if request.writer.output_size and request.transport is not None:
            request.transport.abort()  # what fails in its middle is no answer
        return _answer_error(request, error)


def _answer_error(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, DeepaasError):
        log_failure(request, error)
        return failure(error.status, error.body(), error.headers)
    if isinstance(error, web.HTTPException):
        if error.status < 400:
            raise error
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return failure(error.status, {"message": _explain(error, request)}, allow)
    if isinstance(error, ClientConnectionResetError):
        return web.Response(status=LEFT)
    request_id, method, path = request[REQUEST_ID], request.method, request.path
    logger.error("%s: %s %s failed", request_id, method, path, exc_info=error)
    return failure(500, {"message": "The server failed; see its log."}, {})


def new_request_id(request: web.BaseRequest) -> str:
    """Return the caller's id of a request, if it is sane, or a new one."""
    given = request.headers.get(HEADER)
    if given is not None and SANE_ID.fullmatch(given):
        return given
    return f"{random.getrandbits(128):032x}"  # it has to be new, not secret


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if REQUEST_ID in request:
        response.headers[HEADER] = request[REQUEST_ID]
    if IGNORED in request:
        response.headers["X-Ignored-Arguments"] = request[IGNORED]


def _explain(error: web.HTTPException, request: web.Request) -> str:
    if error.status == 404:
        return f"There is nothing at {request.path}."
    if error.status == 405:
        return f"{request.path} does not take {request.method}."
    return error.reason


def failure(status: int, body: object, headers: Mapping[str, str]) -> web.Response:
    """Make the answer that says what has failed."""
    return web.Response(
        status=status,
        body=encode_json(body),
        headers=headers,
        content_type="application/json",
    )
