"""The server from its start to its end: its workers, its port, TLS, and its signals."""

import asyncio
import contextlib
import ctypes
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from deepaas.config import Settings
from deepaas.console import describe_addresses, describe_ready, describe_stop, say
from deepaas.errors import StartError, cannot_listen
from deepaas.executors import (
    Cluster,
    Executor,
    Limits,
    Local,
    create_executor,
    rotated,
)
from deepaas.executors.messages import Envelope
from deepaas.gpus import is_gpu_visible
from deepaas.model.loading import ModelRef, find_models
from deepaas.reloading import Reloader
from deepaas.state import state_folder

if TYPE_CHECKING:
    from aiohttp import web

logger = logging.getLogger(__name__)

MAX_OPEN_FILES = 65536

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's mallopt(), from its malloc.h."""

KEPT_BYTES = 4 * 2**20
"""Freed bytes at the end of the heap that the C library keeps for the next body."""

OUTCOME_TIMEOUT = 1.0
"""Seconds that jobs have to store their outcomes when the server ends at once."""


def run_server(settings: Settings) -> None:
    """Serves the models of the settings until a signal says to stop.

    Raises StartError if it cannot start.
    """
    signals = Signals()
    _raise_file_limit()
    _keep_freed_memory()
    _warn(settings)
    tls = _read_tls(settings)
    refs = find_models(settings.model_names, settings.models)
    with _bind(settings) as listener:
        executors = _create_executors(settings, refs)
        reloader = Reloader(executors) if settings.reload else None
        for ref, executor in executors.items():
            say(f"{ref.name}: loading …")
            executor.launch()
        # The workers load while this imports most of what the server imports.
        from deepaas.api.app import create_app
        from deepaas.jobs.create import create_jobs

        with state_folder(settings, listener.getsockname()[1]) as folder:
            jobs = create_jobs(
                folder,
                settings.database_url,
                settings.files_dir,
                lease=settings.server_lease,
                keep=settings.keep_jobs,
                keep_days=settings.keep_days,
            )
            app = create_app(settings, executors, jobs)
            if reloader is not None:
                app.cleanup_ctx.append(reloader.context)
            server = Server(app, executors.values(), settings, signals)
            asyncio.run(server.serve(listener, tls))


def _create_executors(
    settings: Settings, refs: list[ModelRef]
) -> dict[ModelRef, Executor]:
    limits = Limits(
        max_queued=settings.max_queued,
        max_calls=settings.max_calls_per_worker,
        max_memory=settings.max_worker_memory * 2**20,
        warm_timeout=settings.warm_timeout,
    )
    executors = {}
    for ref, where in zip(refs, _places(settings, len(refs)), strict=True):
        executor = create_executor(
            ref,
            where,
            limits,
            warm=settings.warm,
            envelope=Envelope.JSON if settings.raw_predictions else Envelope.TEXT,
        )
        executor.listen(on_ready=_announcement(ref.name, where, settings))
        executors[ref] = executor
    return executors


def _train_workers(settings: Settings) -> int:
    """Returns how many processes of each model trainings may have of their own.

    Where workers use a GPU, its memory may not hold the model twice.
    """
    if settings.train_workers is not None:
        return settings.train_workers
    if settings.gpus or is_gpu_visible():
        say("Trainings share the workers, since a GPU is visible: see --train-workers.")
        return 0
    return 1


def _announcement(
    model: str, where: Local | Cluster, settings: Settings
) -> Callable[[float], None]:
    def announce(seconds: float) -> None:
        trains = settings.train_endpoint
        say(describe_ready(model, seconds, where, trains=trains))

    return announce


def _places(settings: Settings, count: int) -> Sequence[Local | Cluster]:
    """Returns where each of so many models runs. Raises StartError."""
    if settings.ray_address:
        if settings.gpus:
            raise StartError(
                "--gpus is of this machine; on a Ray cluster use --worker-gpus"
            )
        cluster = Cluster(
            address=settings.ray_address,
            workers=settings.workers,
            train_workers=settings.train_workers or 0,  # a place has its own CPUs
            cpus=settings.worker_cpus,
            gpus=settings.worker_gpus,
            resources=dict(settings.worker_resources),
        )
        return [cluster] * count  # they share its connection
    if settings.worker_gpus or settings.worker_resources:
        raise StartError("--worker-gpus and --worker-resources need --ray-address")
    train_workers = _train_workers(settings)
    workers_of_each = settings.workers + train_workers
    return [
        Local(
            workers=settings.workers,
            train_workers=train_workers,
            gpus=rotated(settings.gpus, number * workers_of_each),
        )
        for number in range(count)
    ]


class Server:
    """An application on its port, from its first worker to the last outcome of a job.

    Its executors may be launched already.
    """

    def __init__(
        self,
        app: "web.Application",
        executors: Collection[Executor],
        settings: Settings,
        signals: "Signals",
    ) -> None:
        self._app = app
        self._executors = executors
        self._settings = settings
        self._signals = signals

    async def serve(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Serves until a signal says to stop. `listener` is bound.

        Raises StartError if that cannot begin.
        """
        from aiohttp import web

        from deepaas.api.connection import listen
        from deepaas.api.context import CONTROLS

        controls = self._app[CONTROLS]
        self._signals.attach(controls.reload)
        runner = web.AppRunner(
            self._app,
            shutdown_timeout=self._settings.shutdown_grace,
            handler_cancellation=True,
        )
        listening: asyncio.Server | None = None
        starting = asyncio.create_task(runner.setup())
        try:
            await self._signals.before(starting, count=1)
            if starting.done():
                await starting
                keepalive = self._settings.keepalive_timeout
                listening = await listen(runner, listener, tls, keepalive)
                gc.collect()
                gc.freeze()
                _announce(listener, self._settings)
                await self._signals.wait(1)
                self._announce_stop()
                await self._drain(controls.drain)
            else:
                starting.cancel()
                await asyncio.wait([starting])
        finally:
            if listening is not None:
                listening.close()
            await self._stop(runner.cleanup())
            controls.flush_log()

    def _announce_stop(self) -> None:
        statuses = [executor.status() for executor in self._executors]
        logger.info("%s", describe_stop(statuses, self._settings.shutdown_grace))

    async def _drain(self, announce: Callable[[], None]) -> None:
        """Serves for `--drain-delay` while not ready, or until the second signal."""
        delay = self._settings.drain_delay
        if not delay:
            return
        announce()
        logger.info("The port is closed in %g s; readiness is 503 until then.", delay)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._signals.wait(2), delay)

    async def _stop(self, cleanup: Coroutine[Any, Any, None]) -> None:
        """Ends the application within its grace, or at the second signal."""
        stopping = asyncio.create_task(cleanup)
        grace = self._settings.shutdown_grace
        # aiohttp alone would wait twice as long, and without end for a grace of 0.
        await self._signals.before(stopping, count=2, timeout=grace)
        if not stopping.done():
            # The rest is cancelled with the event loop.
            await asyncio.gather(*(executor.close(0) for executor in self._executors))
            await asyncio.wait([stopping], timeout=OUTCOME_TIMEOUT)


class Signals:
    """The signals of the server.

    SIGINT and SIGTERM: the first one stops it, the second one ends it at once. SIGHUP:
    if its terminal was closed, it stops; else it reads again what may have changed.
    A SIGHUP may come at any time; one that comes during the start waits for its end.
    """

    def __init__(self) -> None:
        self._had_terminal = os.isatty(0)
        self._hung_up = False
        self._received = 0
        self._more = asyncio.Event()
        # Workers would inherit SIG_IGN, but not this.
        signal.signal(signal.SIGHUP, self._note_hang_up)

    def _note_hang_up(self, *_: object) -> None:
        self._hung_up = True

    def attach(self, reload: Callable[[], None]) -> None:
        """Handles signals on the running event loop from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)

        def hang_up() -> None:
            closed = self._had_terminal and not os.isatty(0)
            (self._stop if closed else reload)()

        loop.add_signal_handler(signal.SIGHUP, hang_up)
        if self._hung_up:
            hang_up()

    def _stop(self) -> None:
        self._received += 1
        self._more.set()

    async def wait(self, count: int) -> None:
        """Waits until so many signals to stop have come."""
        while self._received < count:
            self._more.clear()
            await self._more.wait()

    async def before(
        self, task: "asyncio.Task[None]", *, count: int, timeout: float | None = None
    ) -> None:
        """Waits until the task is done, or so many signals to stop have come, or
        `timeout` seconds have passed."""
        told = asyncio.create_task(self.wait(count))
        first = asyncio.FIRST_COMPLETED
        await asyncio.wait([task, told], timeout=timeout, return_when=first)
        told.cancel()


# -- the process, the port and TLS


def _raise_file_limit() -> None:
    """Raises the limit of open files, if the system allows it: each connection is one.

    Not to the system's maximum: some programs that a model may start look at each
    possible descriptor.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    wanted = MAX_OPEN_FILES if unlimited else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _keep_freed_memory() -> None:
    """Keeps the C library from giving the memory of each piece of a body back.

    A piece that is read from a socket takes 256 KiB. By default glibc returns this
    much to the kernel as soon as it is freed, if it happens to lie at the end of the
    heap: the page faults of the next pieces doubled the system time of an upload.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _warn(settings: Settings) -> None:
    if settings.openwhisk_detect:
        logger.warning("--openwhisk-detect is ignored.")
    if not settings.auth_token_file and not _is_local(settings.listen_ip):
        logger.warning(
            "Anyone who reaches %s can call the models: see --auth-token-file.",
            settings.listen_ip,
        )


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _bind(settings: Settings) -> socket.socket:
    """Takes the port now; the server listens when the models are warm."""
    family = socket.AF_INET6 if ":" in settings.listen_ip else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen_ip, settings.listen_port))
    except OSError as error:
        listener.close()
        host, port = settings.listen_ip, settings.listen_port
        raise cannot_listen(host, port, error) from error
    return listener


def _read_tls(settings: Settings) -> ssl.SSLContext | None:
    """Returns the context for HTTPS, None without a certificate. Raises StartError."""
    if not settings.tls_cert:
        if settings.tls_key:
            raise StartError("--tls-key needs --tls-cert")
        return None

    def refuse() -> NoReturn:  # or it would be asked for on the terminal
        raise StartError(f"{settings.tls_key} needs a password")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    key = settings.tls_key or None
    try:
        context.load_cert_chain(settings.tls_cert, key, refuse)
    except OSError as error:  # ssl.SSLError is one
        files = " or ".join(filter(None, (settings.tls_cert, key)))
        raise StartError(f"TLS: {files} cannot be used: {error.strerror}") from error
    return context


def _announce(listener: socket.socket, settings: Settings) -> None:
    host, port = listener.getsockname()[:2]
    for line in describe_addresses(settings, host, port):
        say(line)
