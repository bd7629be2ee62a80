"""The set-up of the server's log, and its formats."""

import logging

from oslo_log import log
from oslo_log.formatters import ContextFormatter

from deepaas.config_sources import Config

_OSLO_FIELDS = {
    "color": "",
    "instance": "",
    "resource": "",
    "user_identity": "",
    "global_request_id": "",
    "project_name": "",
    "user_name": "",
    "error_summary": "-",
    "project": "deepaas",
    "version": "unknown",
}
"""Fields that a format of oslo.log may name besides those of any record."""


def register_options(conf: Config) -> None:
    """Adds the options of oslo.log to a configuration."""
    log.register_options(conf)
    conf.set_default("use_stderr", True)  # standard output is for the addresses


def set_up(conf: Config) -> None:
    """Starts to log as the options say."""
    log.setup(conf, "deepaas")
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, ContextFormatter):
            _format_faster(handler, handler.formatter)
        if isinstance(handler, logging.FileHandler):
            _encode_in_utf8(handler)


def _format_faster(handler: logging.Handler, oslo: ContextFormatter) -> None:
    """Uses a formatter of our own where oslo.log's is not needed."""
    form = oslo.conf.logging_default_format_string
    for name, text in _OSLO_FIELDS.items():
        form = form.replace(f"%({name})s", text)
    if not any(f"%({name})" in form for name in ("isotime", *_OSLO_FIELDS)):
        handler.setFormatter(_Lines(form, oslo))


def _encode_in_utf8(handler: logging.FileHandler) -> None:
    """Lets a model print what the locale cannot encode."""
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
        self._whole = logging.Formatter(whole, oslo.datefmt, defaults=_OSLO_FIELDS)
        self._summarizes = "%(error_summary)s" in whole

    def format(self, record: logging.LogRecord) -> str:
        if record.levelno == logging.INFO and not record.exc_info:
            return super().format(record)
        if record.levelno < logging.INFO or record.exc_info or self._summarizes:
            return self._oslo.format(record)
        return self._whole.format(record).rstrip("\n")
