"""create_app(): puts the parts together; the order of start and stop is here."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)

from aiohttp import web
from aiohttp.typedefs import Middleware

from deepaas.api.access import (
    Tokens,
    allow_origins,
    authenticate,
    expect_later,
    trust_proxies,
)
from deepaas.api.access_log import AccessLog
from deepaas.api.context import CONTROLS, Controls
from deepaas.api.deepaas_v2 import DeepaasV2
from deepaas.api.examples import Examples
from deepaas.api.inference import Inference
from deepaas.api.metrics import Metrics
from deepaas.api.middleware import add_headers, answer
from deepaas.api.model_tensors import ModelTensors
from deepaas.api.openapi import Documentation
from deepaas.api.operations import Operations, Readiness
from deepaas.api.pages import Pages, absent_pages
from deepaas.api.paths import merge_slashes
from deepaas.api.routes import Route, Routes, error_body, shared_body
from deepaas.config import Settings
from deepaas.executors import Executor
from deepaas.jobs.service import Jobs
from deepaas.model.loading import ModelRef
from deepaas.predictions import Predictions, ServedModel


def create_app(
    settings: Settings, executors: Mapping[ModelRef, Executor], jobs: Jobs
) -> web.Application:
    """Returns the application that serves these models, and runs these jobs.

    The executors are started with the application, and tell then what their models
    are; they and the jobs are closed with it.
    """
    tokens = Tokens(settings.auth_token_file) if settings.auth_token_file else None
    by_name = {ref.name: executor for ref, executor in executors.items()}
    models = {name: ServedModel(name, each) for name, each in by_name.items()}
    metrics = Metrics(by_name)
    access_log = AccessLog(metrics, by_name)
    readiness = Readiness()
    operations = Operations(metrics, access_log, jobs, settings, readiness)

    routes = Routes(expect_handler=None if tokens is None else expect_later)
    predictions, tensors = Predictions(models, settings), ModelTensors()
    deepaas_v2 = DeepaasV2(predictions, jobs, settings, tensors)
    inference = Inference(predictions, settings, tensors, operations.model_ready)
    routes.add(deepaas_v2.call_routes())
    routes.add(inference.call_routes(), error_body=error_body)
    routes.add(deepaas_v2.routes())
    routes.add(operations.routes())
    routes.add(inference.routes(), error_body=error_body)
    routes.add_below(f"{settings.base_path}/v2/", shared_body)
    routes.add(Examples(models, settings.base_path).routes())
    routes.add(Documentation(list(models.values()), settings).routes())
    routes.add(_pages(settings))

    app = _application(settings, tokens, routes)
    app.cleanup_ctx.append(_lifetime(list(models.values()), jobs))
    app.on_shutdown.append(_stop(jobs, settings.shutdown_grace))
    app.cleanup_ctx.append(access_log.in_order)
    if settings.debug_endpoint:
        app.cleanup_ctx.append(operations.recorder)
    app[CONTROLS] = _controls(tokens, readiness, access_log, by_name.values())
    return app


def _application(
    settings: Settings, tokens: Tokens | None, routes: Routes
) -> web.Application:
    app = web.Application(
        middlewares=_middlewares(settings, tokens),
        client_max_size=settings.client_max_size,
    )
    routes.register(app)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    merge_slashes(app)
    app.on_response_prepare.append(add_headers)
    return app


def _pages(settings: Settings) -> Sequence[Route]:
    base = settings.base_path
    return Pages(base).routes() if settings.doc_endpoint else absent_pages(base)


def _middlewares(settings: Settings, tokens: Tokens | None) -> Sequence[Middleware]:
    middlewares: list[Middleware] = [answer]
    if settings.trusted_proxies:
        middlewares.append(trust_proxies(settings.trusted_proxies))
    if tokens is not None:
        middlewares.append(authenticate(tokens, cors=bool(settings.cors_origins)))
    return middlewares


def _lifetime(
    models: Sequence[ServedModel], jobs: Jobs
) -> Callable[[web.Application], AsyncIterator[None]]:
    executors = [model.executor for model in models]

    async def context(app: web.Application) -> AsyncIterator[None]:
        for executor in executors:
            executor.launch()
        try:
            await jobs.open()
            for executor in executors:
                await executor.start()
            for model in models:
                model.warn()
            yield
        finally:
            await jobs.close()  # while their workers run
            for executor in executors:
                await executor.close(grace=0)

    return context


def _stop(jobs: Jobs, grace: float) -> Callable[[web.Application], Awaitable[None]]:
    """Ends the trainings before the server waits for handlers that follow them."""

    async def stop(app: web.Application) -> None:
        jobs.stop(grace)

    return stop


def _controls(
    tokens: Tokens | None,
    readiness: Readiness,
    access_log: AccessLog,
    executors: Iterable[Executor],
) -> Controls:
    reading: set[asyncio.Task[None]] = set()

    def reload() -> None:
        if tokens is not None:
            tokens.reload()
        for executor in executors:
            task = asyncio.ensure_future(executor.read_again())
            reading.add(task)
            task.add_done_callback(reading.discard)

    return Controls(
        reload=reload,
        drain=readiness.stop,
        log_request=access_log.note_request,
        flush_log=access_log.flush,
    )
