"""deepaas-run: settings, logging, the workers, and serving them. Nothing else."""

import asyncio
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from typing import NoReturn

from oslo_log import log
from oslo_log.formatters import ContextFormatter

from deepaas.cmd.descriptors import open_closed_descriptors
from deepaas.cmd.init import run_below_init
from deepaas.config import Settings, new_config, read_settings, unread_keys
from deepaas.errors import DeepaasError, StartError
from deepaas.executors import Limits, Local, create_executor, rotated
from deepaas.executors.messages import Envelope
from deepaas.model.loading import find_models

logger = logging.getLogger(__name__)

OSLO_FIELDS = {
    **dict.fromkeys(("color", "instance", "resource", "user_identity"), ""),
    **dict.fromkeys(("global_request_id", "project_name", "user_name"), ""),
    **{"error_summary": "-", "project": "deepaas", "version": "unknown"},
}
"""What a format of oslo.log may name besides the fields of any record."""

FILES = 65536
"""Files that may be open at once."""


def main() -> None:
    """Run the server until it is told to stop."""
    open_closed_descriptors()
    run_below_init()
    conf = new_config()
    log.register_options(conf)
    conf.set_default("use_stderr", True)  # standard output is for the addresses
    try:
        settings = read_settings(conf, sys.argv[1:])
        log.setup(conf, "deepaas")
        _hurry_log()
        _encode_log_files()
        for warning in unread_keys(conf):
            logger.warning("%s", warning)
        run(settings)
    except DeepaasError as error:
        sys.exit(f"deepaas-run: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


def _hurry_log() -> None:
    """Let oslo.log's formatter do only what another one cannot."""
    for handler in logging.getLogger().handlers:
        oslo = handler.formatter
        if not isinstance(oslo, ContextFormatter):
            continue
        form = oslo.conf.logging_default_format_string
        for name, text in OSLO_FIELDS.items():
            form = form.replace(f"%({name})s", text)
        if not any(f"%({name})" in form for name in ("isotime", *OSLO_FIELDS)):
            handler.setFormatter(_Lines(form, oslo))


def _encode_log_files() -> None:
    """Write log files in UTF-8: a model may print what the locale cannot encode."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.encoding, handler.errors = "utf-8", "backslashreplace"
            if handler.stream is not None:
                handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")


class _Lines(logging.Formatter):
    """oslo.log's lines. Its own formatter costs more than the rest of a small call.

    It still formats tracebacks and what is for debugging: it adds to them. To warnings
    and errors without a traceback it would add the exception that is being handled,
    which the message tells already.
    """

    def __init__(self, form: str, oslo: ContextFormatter) -> None:
        super().__init__(form, oslo.datefmt)
        self._oslo = oslo
        whole = oslo.conf.logging_default_format_string
        self._whole = logging.Formatter(whole, oslo.datefmt, defaults=OSLO_FIELDS)
        self._summarizes = "%(error_summary)s" in whole

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno == logging.INFO and not record.exc_info:
            return super().format(record)
        if record.levelno < logging.INFO or record.exc_info or self._summarizes:
            return self._oslo.format(record)
        return self._whole.format(record).rstrip("\n")


def run(settings: Settings) -> None:
    """Serve the models of the settings. Raises StartError when that cannot begin."""
    hang_up = _HangUp()
    _allow_connections()
    if settings.openwhisk_detect:
        logger.warning("--openwhisk-detect is ignored.")
    if not settings.auth_token_file and not _is_local(settings.listen_ip):
        logger.warning(
            "Anyone who reaches %s can call the models: see --auth-token-file.",
            settings.listen_ip,
        )
    tls = _tls(settings)
    refs = find_models(settings.model_names, settings.models)
    with _bind(settings) as listener:
        limits = Limits(
            max_queued=settings.max_queued,
            max_calls=settings.max_calls_per_worker,
            max_memory=settings.max_worker_memory * 2**20,
            warm_timeout=settings.warm_timeout,
        )
        of_each = settings.workers + settings.train_workers
        executors = {
            ref: create_executor(
                ref,
                Local(
                    workers=settings.workers,
                    train_workers=settings.train_workers,
                    gpus=rotated(settings.gpus, number * of_each),
                ),
                limits,
                warm=settings.warm,
                envelope=Envelope.JSON if settings.raw_predictions else Envelope.TEXT,
            )
            for number, ref in enumerate(refs)
        }
        for executor in executors.values():
            executor.launch()
        # They load while we import the rest, which is most of what we import.
        from deepaas.serving import serve

        serve(settings, executors, listener, tls, hang_up.heed)


def _allow_connections() -> None:
    """Take more open files than is usual, if the system lets: each connection is one.

    Not all that it lets: some programs that a model may start look at each of them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _is_local(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


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


def _tls(settings: Settings) -> ssl.SSLContext | None:
    """Return how the server speaks HTTPS, None if it does not. Raises StartError."""
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


class _HangUp:
    """SIGHUP: a closed terminal ends the server, else the tokens are read anew.

    It may come at any time; one that comes during the start waits for its end.
    """

    def __init__(self) -> None:
        self._had_terminal = os.isatty(0)
        self._came = False
        # Workers would inherit SIG_IGN, but not this.
        signal.signal(signal.SIGHUP, self._note)

    def _note(self, *_: object) -> None:
        self._came = True

    def heed(self, reload: Callable[[], None], stop: Callable[[], None]) -> None:
        """Do what it asks for, from now on."""

        def act() -> None:
            closed = self._had_terminal and not os.isatty(0)
            (stop if closed else reload)()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, act)
        if self._came:
            act()
