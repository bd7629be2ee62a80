"""deepaas-run: settings, logging, the application, and running it. Nothing else."""

import asyncio
import logging
import signal
import socket
import sys

from aiohttp import web
from oslo_log import log

from deepaas.api.app import create_app
from deepaas.api.operations import AccessLog
from deepaas.config import Settings, new_config, read_settings, state_dir
from deepaas.errors import DeepaasError, StartError
from deepaas.executors import Executor, Limits, create_executor
from deepaas.model.loading import find_models
from deepaas.store import Store

logger = logging.getLogger(__name__)

LAST_WORDS = 1.0
"""Seconds that jobs have to store their end when the server ends at once."""


def main() -> None:
    """Run the server until it is told to stop."""
    conf = new_config()
    log.register_options(conf)
    conf.set_default("use_stderr", True)  # standard output is for the addresses
    try:
        settings = read_settings(conf, sys.argv[1:])
        log.setup(conf, "deepaas")
        run(settings)
    except DeepaasError as error:
        sys.exit(f"deepaas-run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def run(settings: Settings) -> None:
    """Serve the models of the settings. Raises StartError when that cannot begin."""
    if settings.openwhisk_detect:
        logger.warning("--openwhisk-detect is ignored.")
    refs = find_models(settings.model_names, settings.models)
    with _bind(settings) as listener:
        port = listener.getsockname()[1]
        store = Store(state_dir(settings, port), settings.database_url)
        limits = Limits(
            max_queued=settings.max_queued,
            max_calls=settings.max_calls_per_worker,
            warm_timeout=settings.warm_timeout,
        )
        executors = {
            ref: create_executor(
                ref,
                workers=settings.workers,
                warm=settings.warm,
                raw_predictions=settings.raw_predictions,
                limits=limits,
                train_workers=settings.train_workers,
            )
            for ref in refs
        }
        for executor in executors.values():
            executor.launch()  # they load while we do
        app = create_app(settings, executors, store)
        asyncio.run(_serve(app, list(executors.values()), listener, settings))


def _bind(settings: Settings) -> socket.socket:
    """Take the port now, and listen when the models are warm."""
    family = socket.AF_INET6 if ":" in settings.listen_ip else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen_ip, settings.listen_port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {settings.listen_ip}:{settings.listen_port}: "
            f"{error.strerror}"
        ) from error
    return listener


async def _serve(
    app: web.Application,
    executors: list[Executor],
    listener: socket.socket,
    settings: Settings,
) -> None:
    signals = _Signals()
    runner = web.AppRunner(
        app,
        shutdown_timeout=settings.shutdown_grace,
        handler_cancellation=True,
        auto_decompress=False,  # the arguments do it
        access_log_class=AccessLog,
    )
    starting = asyncio.create_task(runner.setup())
    try:
        await signals.before(starting, count=1)
        if starting.done():
            await starting
            await _listen(runner, listener)
            _announce(listener, settings)
            await signals.wait(1)
        else:
            starting.cancel()
            await asyncio.wait([starting])
    finally:
        stopping = asyncio.create_task(runner.cleanup())
        await signals.before(stopping, count=2)
        if not stopping.done():
            # The rest is cancelled with the event loop.
            await asyncio.gather(*(executor.close(0) for executor in executors))
            await asyncio.wait([stopping], timeout=LAST_WORDS)


async def _listen(runner: web.AppRunner, listener: socket.socket) -> None:
    try:
        await web.SockSite(runner, listener).start()
    except OSError as error:  # another server has taken the port meanwhile
        raise StartError(f"cannot listen: {error.strerror}") from error


class _Signals:
    """SIGINT and SIGTERM: the first one stops the server, the second one at once."""

    def __init__(self) -> None:
        self._received = 0
        self._more = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._receive)

    def _receive(self) -> None:
        self._received += 1
        self._more.set()

    async def wait(self, count: int) -> None:
        """Wait until so many signals have come."""
        while self._received < count:
            self._more.clear()
            await self._more.wait()

    async def before(self, task: asyncio.Task[None], *, count: int) -> None:
        """Wait until the task is done, or so many signals have come."""
        told = asyncio.create_task(self.wait(count))
        await asyncio.wait([task, told], return_when=asyncio.FIRST_COMPLETED)
        told.cancel()


def _announce(listener: socket.socket, settings: Settings) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{port}{settings.base_path}"
    print(f"The API is at            {url}/v2/")
    if settings.doc_endpoint:
        print(f"Its documentation is at  {url}/api")
    print(f"The models are at        {url}/v2/models/", flush=True)
