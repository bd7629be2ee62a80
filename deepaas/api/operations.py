"""What operators ask: is the server alive, is it ready, what did it say lately."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from time import time as wall_clock
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from prometheus_client import CONTENT_TYPE_LATEST

from deepaas.api import schemas
from deepaas.api.metrics import JobCounts, Metrics
from deepaas.api.responses import CLIENT, ENDED, JOB, REQUEST_ID
from deepaas.config import Settings
from deepaas.errors import NotFound
from deepaas.executors import ExecutorStatus
from deepaas.jobs import Jobs

METRICS = web.AppKey("metrics", Metrics)

LATELY = 1000
"""Lines that the debug endpoint shows."""

LONGEST = 2000
"""Characters of a line that it shows."""


COUNT_INTERVAL = 1.0
"""Seconds for which a count of the jobs is true enough."""


class Operations:
    """Health by the model's name, and the latest lines of the log."""

    def __init__(self, metrics: Metrics, jobs: Jobs, settings: Settings) -> None:
        self._metrics = metrics
        self._jobs = jobs
        self._settings = settings
        self._schema = schemas.Health()
        self._lately = _Lately()
        self._job_counts: JobCounts = {}
        self._count_again = 0.0

    def routes(self) -> list[web.AbstractRouteDef]:
        paths = {
            "/v2/health/live": self.live,
            "/v2/health/ready": self.ready,
            "/v2/models/{model}/ready": self.model_ready,
            "/v2/debug": self.debug,
            "/metrics": self.metrics,
        }
        return [
            web.get(f"{self._settings.base_path}{path}{slash}", handler)
            for path, handler in paths.items()
            for slash in ("", "/")
        ]

    async def recorder(self, app: web.Application) -> AsyncIterator[None]:
        """Record what is logged while the application runs."""
        logging.getLogger().addHandler(self._lately)
        yield
        logging.getLogger().removeHandler(self._lately)

    async def debug(self, request: web.Request) -> web.Response:
        if not self._settings.debug_endpoint:
            return web.Response(status=204)
        return web.Response(text="\n".join(self._lately.lines))

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response(self._schema.dump({"status": "live"}))

    async def ready(self, request: web.Request) -> web.Response:
        state = self._metrics.state()
        # Looking at each process takes a moment.
        models = await asyncio.to_thread(
            lambda: {name: _health(status) for name, status in state.items()}
        )
        ready = all(model["ready"] for model in models.values())
        health = {"status": "ready" if ready else "not ready", "models": models}
        return web.json_response(
            self._schema.dump(health), status=200 if ready else 503
        )

    async def model_ready(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        status = self._metrics.state().get(name)
        if status is None:
            raise NotFound(f"There is no model {name!r}.")
        health = await asyncio.to_thread(_health, status)
        return web.json_response(
            schemas.ModelHealth().dump(health), status=200 if status.ready else 503
        )

    async def metrics(self, request: web.Request) -> web.Response:
        state, jobs = self._metrics.state(), await self._count_jobs()
        text = await asyncio.to_thread(self._metrics.text, state, jobs)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _count_jobs(self) -> JobCounts:
        """Count the jobs, which takes milliseconds, once a second at the most."""
        now = time.monotonic()
        if now >= self._count_again:
            self._job_counts = await self._jobs.count()
            self._count_again = now + COUNT_INTERVAL
        return self._job_counts


class AccessLog(AbstractAccessLogger):
    """Counts each request, and logs it; without its query, which may hold a secret."""

    def __init__(self, metrics: Metrics, logger: logging.Logger, _: str) -> None:
        super().__init__(logger, "")
        self._metrics = metrics
        record = logger.makeRecord(logger.name, logging.INFO, __file__, 0, "", (), None)
        self._template = vars(record)

    @property
    def enabled(self) -> bool:
        return True

    def log(
        self, request: web.BaseRequest, response: web.StreamResponse, time: float
    ) -> None:
        assert isinstance(request, web.Request)
        self._metrics.count_request(
            request.method,
            _route(request),
            response.status,
            request.content.total_bytes,
            request.writer.output_size,
        )
        if self.logger.isEnabledFor(logging.INFO):
            self._log(request, response, time)

    def _log(
        self, request: web.Request, response: web.StreamResponse, time: float
    ) -> None:
        """Log addressee, status, bytes and seconds; of a call, how it went as well."""
        address = request.get(CLIENT) or request.remote
        request_id = request.get(REQUEST_ID, "-")
        method, path = request.method, request.rel_url.raw_path
        status, sent = response.status, request.writer.output_size
        line = f'{address} {request_id} "{method} {path}" {status} {sent} {time:.6f}'
        facts: dict[str, Any] = {
            "address": address,
            "request_id": request_id,
            "method": method,
            "path": path,
            "status": status,
            "bytes": sent,
            "seconds": time,
        }
        if (ended := request.get(ENDED)) is not None:
            model, waited, ran = request.match_info["model"], ended.waited, ended.ran
            line += f" {model} waited {waited:.6f} ran {ran or 0:.6f}"
            facts |= {"model": model, "waited": waited, "ran": ran}
        if (job := request.get(JOB)) is not None:
            line += f" job {job}"
            facts["job"] = job
        self.logger.handle(_Line(self._template, line, facts))


class _Line(logging.LogRecord):
    """A record of the access log: its process, thread and place are always the same.

    To find them out anew, as `logger.info` does, costs more than the rest of the line.
    """

    def __init__(
        self, template: Mapping[str, Any], line: str, facts: Mapping[str, Any]
    ) -> None:
        now = wall_clock()
        # oslo.log's JSON shows what is in `extra`.
        self.__dict__.update(template, msg=line, extra=facts)
        self.created = now
        self.msecs = int(now % 1 * 1000)


def _route(request: web.Request) -> str:
    """Return the pattern of a request's path; there are only so many."""
    try:
        resource = request.match_info.route.resource
    except (AssertionError, AttributeError):  # its head could not be read
        return "unknown"
    return "unknown" if resource is None else resource.canonical.rstrip("/") or "/"


class _Lately(logging.Handler):
    """Keeps the latest lines of the log, the models' output among them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LATELY)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # as logging's own handlers do
            self.handleError(record)
        else:
            self.lines.extend(line[:LONGEST] for line in text.split("\n"))


def _health(status: ExecutorStatus) -> dict[str, Any]:
    health: dict[str, Any] = {
        "ready": status.ready,
        "workers": [
            {
                "state": worker.state.value,
                "pid": worker.pid,
                "calls": worker.calls,
                "memory": worker.memory(),
                "since": round(worker.since, 3),
                "trains": worker.trains,
                **({} if worker.gpu is None else {"gpu": worker.gpu}),
            }
            for worker in status.workers
        ],
    }
    if not status.ready:
        health["message"] = f"No worker is warm: {status.cause or 'starting'}."
    return health
