"""deepaas-run: settings, logging, the application, and running it. Nothing else."""

import asyncio
import logging
import signal
import socket
import sys

from aiohttp import web
from oslo_config import cfg
from oslo_log import log

from deepaas.api.app import create_app
from deepaas.config import Settings, new_config, read_settings
from deepaas.errors import StartError
from deepaas.executors import create_executor
from deepaas.model.loading import find_models

logger = logging.getLogger(__name__)

GRACE = 30.0
"""Seconds that running calls have when the server is told to stop."""


def main() -> None:
    """Run the server until it is told to stop."""
    conf = new_config()
    log.register_options(conf)
    try:
        settings = read_settings(conf, sys.argv[1:])
        log.setup(conf, "deepaas")
        run(settings)
    except (StartError, cfg.Error) as error:
        sys.exit(f"deepaas-run: {error}")


def run(settings: Settings) -> None:
    """Serve the models of the settings. Raises StartError when that cannot begin."""
    if settings.openwhisk_detect:
        logger.warning("--openwhisk-detect is ignored.")
    refs = find_models(settings.model_names, settings.models)
    with _bind(settings) as listener:
        executors = {
            ref: create_executor(
                ref,
                workers=settings.workers,
                warm=settings.warm,
                raw_predictions=settings.raw_predictions,
            )
            for ref in refs
        }
        for executor in executors.values():
            executor.launch()  # they load while we do
        asyncio.run(_serve(create_app(settings, executors), listener, settings))


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
    app: web.Application, listener: socket.socket, settings: Settings
) -> None:
    runner = web.AppRunner(app, shutdown_timeout=GRACE, handler_cancellation=True)
    stopping = asyncio.create_task(_told_to_stop())
    starting = asyncio.create_task(runner.setup())
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            await web.SockSite(runner, listener).start()
            _announce(listener, settings)
            await stopping
        else:
            starting.cancel()
            await asyncio.wait([starting])
    finally:
        stopping.cancel()
        await runner.cleanup()


async def _told_to_stop() -> None:
    """Wait for SIGINT or SIGTERM."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    await told.wait()


def _announce(listener: socket.socket, settings: Settings) -> None:
    host, port = listener.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    url = f"http://{host}:{port}{settings.base_path}"
    print(f"The API is at            {url}/v2/")
    if settings.doc_endpoint:
        print(f"Its documentation is at  {url}/api")
    print(f"The models are at        {url}/v2/models/", flush=True)
