"""serve(): the life of a server, from its first worker to the last word of a job."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeAlias

from aiohttp import web

from deepaas.api.access_log import AccessLogger
from deepaas.api.app import create_app
from deepaas.api.connection import Connection
from deepaas.api.context import CONTROLS
from deepaas.config import Settings
from deepaas.errors import StartError
from deepaas.executors import Executor
from deepaas.jobs.create import create_jobs
from deepaas.model.loading import ModelRef
from deepaas.state import state_folder

logger = logging.getLogger(__name__)

LAST_WORDS = 1.0
"""Seconds that jobs have to store their end when the server ends at once."""


HeedHangUp: TypeAlias = Callable[[Callable[[], None], Callable[[], None]], None]
"""Takes what a SIGHUP may ask for: to reload, and to stop."""


def serve(
    settings: Settings,
    executors: Mapping[ModelRef, Executor],
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    heed_hang_up: HeedHangUp,
) -> None:
    """Serve until told to stop. Raises StartError when that cannot begin.

    The executors may be launched; `listener` is bound and does not listen.
    """
    port = listener.getsockname()[1]
    with state_folder(settings, port) as folder:
        jobs = create_jobs(
            folder,
            settings.database_url,
            keep=settings.keep_jobs,
            keep_days=settings.keep_days,
        )
        app = create_app(settings, executors, jobs)
        every = executors.values()
        asyncio.run(_serve(app, every, listener, tls, settings, heed_hang_up))


async def _serve(
    app: web.Application,
    executors: Iterable[Executor],
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    settings: Settings,
    heed_hang_up: HeedHangUp,
) -> None:
    signals = _Signals()
    heed_hang_up(app[CONTROLS].reload, signals.receive)
    runner = web.AppRunner(
        app,
        shutdown_timeout=settings.shutdown_grace,
        handler_cancellation=True,
    )
    listening: asyncio.Server | None = None
    starting = asyncio.create_task(runner.setup())
    try:
        await signals.before(starting, count=1)
        if starting.done():
            await starting
            keepalive = settings.keepalive_timeout
            listening = await _listen(runner, listener, tls, keepalive)
            gc.collect()
            gc.freeze()
            _announce(listener, settings)
            await signals.wait(1)
            await _drain(app, signals, settings.drain_delay)
        else:
            starting.cancel()
            await asyncio.wait([starting])
    finally:
        if listening is not None:
            listening.close()
        stopping = asyncio.create_task(runner.cleanup())
        # aiohttp alone would wait twice as long, and for ever for a grace of 0.
        await signals.before(stopping, count=2, timeout=settings.shutdown_grace)
        if not stopping.done():
            # The rest is cancelled with the event loop.
            await asyncio.gather(*(executor.close(0) for executor in executors))
            await asyncio.wait([stopping], timeout=LAST_WORDS)
        app[CONTROLS].flush_log()


async def _drain(app: web.Application, signals: "_Signals", delay: float) -> None:
    """Go on for `delay` seconds without being ready, or until the second signal."""
    if delay:
        app[CONTROLS].drain()
        logger.info("The port is closed in %g s; readiness is 503 until then.", delay)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(signals.wait(2), delay)


async def _listen(
    runner: web.AppRunner,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    keepalive: float,
) -> asyncio.Server:
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    access_logger = partial(AccessLogger, runner.app[CONTROLS].log_request)
    connect = partial(
        Connection,
        runner.server,
        loop=loop,
        access_log_class=access_logger,  # type: ignore[arg-type]
        auto_decompress=False,  # the arguments do it
        keepalive_timeout=keepalive,
    )
    try:
        return await loop.create_server(connect, sock=listener, ssl=tls, backlog=128)
    except OSError as error:  # another server has taken the port meanwhile
        raise StartError(f"cannot listen: {error.strerror}") from error


class _Signals:
    """SIGINT and SIGTERM: the first one stops the server, the second one at once."""

    def __init__(self) -> None:
        self._received = 0
        self._more = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.receive)

    def receive(self) -> None:
        self._received += 1
        self._more.set()

    async def wait(self, count: int) -> None:
        """Wait until so many signals have come."""
        while self._received < count:
            self._more.clear()
            await self._more.wait()

    async def before(
        self, task: asyncio.Task[None], *, count: int, timeout: float | None = None
    ) -> None:
        """Wait until the task is done, or so many signals have come, or seconds."""
        told = asyncio.create_task(self.wait(count))
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait([task, told], timeout=timeout, return_when=first)
        told.cancel()


def _announce(listener: socket.socket, settings: Settings) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    scheme = "https" if settings.tls_cert else "http"
    url = f"{scheme}://{host}:{port}{settings.base_path}"
    print(f"The API is at            {url}/v2/")
    if settings.doc_endpoint:
        print(f"Its documentation is at  {url}/api")
    print(f"The models are at        {url}/v2/models/", flush=True)
