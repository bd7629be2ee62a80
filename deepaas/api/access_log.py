"""The access log: counts and logs answered requests, many at a time.

Doing so at once for each request took a quarter of the time of a small call: code that
has just run runs several times as fast as code that runs once in a request.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from time import time as wall_clock
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from deepaas.api.context import CONTEXT
from deepaas.api.metrics import Metrics
from deepaas.executors import Ended, Executor

MAX_DELAY = 0.1
"""Most seconds that an entry waits for others."""

MAX_WAITING_REQUESTS = 32
"""Requests that are logged at once."""

_Answered = tuple[float, web.Request, web.StreamResponse, float]
"""The wall-clock time of an answer, and the seconds that the request took."""


class AccessLog:
    """The requests and calls that are over, on their way to the metrics and the log."""

    def __init__(self, metrics: Metrics, executors: Mapping[str, Executor]) -> None:
        self._metrics = metrics
        self._logger = logging.getLogger("aiohttp.access")
        record = self._logger.makeRecord(
            self._logger.name, logging.INFO, __file__, 0, "", (), None
        )
        self._template = vars(record)
        self._requests: list[_Answered] = []
        self._calls: list[tuple[str, Ended]] = []
        self._timer: asyncio.TimerHandle | None = None
        for model, executor in executors.items():
            executor.listen(partial(self.note_call, model))

    def note_call(self, model: str, call: Ended) -> None:
        """Add a call that is over."""
        self._calls.append((model, call))
        if self._timer is None:
            self._start_timer()

    def note_request(
        self, request: web.Request, response: web.StreamResponse, seconds: float
    ) -> None:
        """Add an answered request; `seconds` is the time that it took."""
        self._requests.append((wall_clock(), request, response, seconds))
        if len(self._requests) >= MAX_WAITING_REQUESTS:
            self.flush()
        elif self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(MAX_DELAY, self._flush_late)

    def _flush_late(self) -> None:
        self._timer = None
        self.flush()

    async def in_order(self, app: web.Application) -> AsyncIterator[None]:
        """Log what waits before any later record, while the application runs."""
        first = _Before(self.flush)
        root = logging.getLogger()
        root.handlers.insert(0, first)
        yield
        root.removeHandler(first)

    def flush(self) -> None:
        """Count and log the waiting entries."""
        calls, self._calls = self._calls, []
        requests, self._requests = self._requests, []
        for model, call in calls:
            self._metrics.count_call(model, call)
        self._count(requests)
        if self._logger.isEnabledFor(logging.INFO):
            for when, request, response, seconds in requests:
                line, facts = _describe(request, response, seconds)
                self._logger.handle(_Line(self._template, when, line, facts))

    def _count(self, requests: Iterable[_Answered]) -> None:
        """Count requests; those alike are counted in one step, which is faster."""
        sizes: dict[tuple[str, web.AbstractResource | None, int], list[int]] = {}
        for _, request, response, _ in requests:
            key = (request.method, _resource(request), response.status)
            size = sizes.setdefault(key, [0, 0, 0])
            size[0] += 1
            size[1] += request.content.total_bytes
            size[2] += request.writer.output_size
        for (method, resource, status), (number, received, sent) in sizes.items():
            self._metrics.count_requests(
                method, _pattern(resource), status, number, received, sent
            )


class _Before(logging.Handler):
    """Writes nothing, but calls a function before the other handlers see a record."""

    def __init__(self, function: Callable[[], None]) -> None:
        super().__init__()
        self._function = function
        self._thread = threading.get_ident()

    def handle(self, record: logging.LogRecord) -> bool:
        """Call the function, unless the record is its own or another thread's."""
        if type(record) is not _Line and threading.get_ident() == self._thread:
            self._function()
        return False


class AccessLogger(AbstractAccessLogger):
    """Passes on aiohttp's entries on its requests."""

    def __init__(
        self,
        log_request: Callable[[web.Request, web.StreamResponse, float], None],
        logger: logging.Logger,
        _: str,
    ) -> None:
        super().__init__(logger, "")
        self._log_request = log_request

    @property
    def enabled(self) -> bool:
        """Tell whether aiohttp must call `log`."""
        return True

    def log(
        self, request: web.BaseRequest, response: web.StreamResponse, time: float
    ) -> None:
        """Pass on an answered request; `time` is in seconds."""
        assert isinstance(request, web.Request)
        self._log_request(request, response, time)


def _describe(
    request: web.Request, response: web.StreamResponse, seconds: float
) -> tuple[str, dict[str, Any]]:
    """Return a line of the log, and its content as fields.

    The query is left out, since it may hold a secret. For a call, the line also gives
    its times, its job and the ignored arguments.
    """
    context = request[CONTEXT]
    address = context.client or request.remote
    request_id = context.request_id
    method, path = request.method, request.rel_url.raw_path
    status, sent = response.status, request.writer.output_size
    line = f'{address} {request_id} "{method} {path}" {status} {sent} {seconds:.6f}'
    facts: dict[str, Any] = {
        "address": address,
        "request_id": request_id,
        "method": method,
        "path": path,
        "status": status,
        "bytes": sent,
        "seconds": seconds,
    }
    if (ended := context.ended) is not None:
        model, waited, ran = request.match_info["model"], ended.waited, ended.ran
        line += f" {model} waited {waited:.6f} ran {ran or 0:.6f}"
        facts |= {"model": model, "waited": waited, "ran": ran}
    if (job := context.job) is not None:
        line += f" job {job}"
        facts["job"] = job
    if (ignored := context.ignored) is not None:
        line += f" ignored {ignored}"
        facts["ignored"] = ignored
    return line, facts


class _Line(logging.LogRecord):
    """A record of the access log: its process, thread and place are always the same."""

    def __init__(
        self,
        template: Mapping[str, Any],
        when: float,
        line: str,
        facts: Mapping[str, Any],
    ) -> None:
        # oslo.log's JSON shows what is in `extra`.
        self.__dict__.update(template, created=when, msg=line, extra=facts)
        self.msecs = int(when % 1 * 1000)


def _resource(request: web.Request) -> web.AbstractResource | None:
    """Return the resource that a request's path matched, if any."""
    try:
        return request.match_info.route.resource
    except (AssertionError, AttributeError):  # its head could not be read
        return None


def _pattern(resource: web.AbstractResource | None) -> str:
    """Return the pattern of a resource's paths: the number of patterns is limited."""
    return "unknown" if resource is None else resource.canonical.rstrip("/") or "/"
