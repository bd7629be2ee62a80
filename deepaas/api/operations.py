"""The routes for operators: liveness, readiness, metrics and the latest log lines."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from deepaas.api import schemas
from deepaas.api.access_log import AccessLog
from deepaas.api.metrics import JobCounts, Metrics
from deepaas.api.routes import MODEL, Access, Route, both, shared_body
from deepaas.config import Settings
from deepaas.errors import DeepaasError, NotFound
from deepaas.executors import ExecutorStatus
from deepaas.jobs.service import Jobs

logger = logging.getLogger(__name__)

MAX_LOG_LINES = 1000
"""Lines of the log that the debug endpoint shows."""

MAX_LOG_LINE_CHARS = 2000
"""Characters of a line that it shows."""


COUNT_INTERVAL = 1.0
"""Seconds for which a count of the jobs is reused."""


class Readiness:
    """The part of readiness that depends on the server, not on a model."""

    def __init__(self) -> None:
        self.stopping = False

    def stop(self) -> None:
        """Announce that the port will be closed."""
        self.stopping = True


class Operations:
    """Health by the model's name, and the latest lines of the log."""

    def __init__(
        self,
        metrics: Metrics,
        access_log: AccessLog,
        jobs: Jobs,
        settings: Settings,
        readiness: Readiness,
    ) -> None:
        self._metrics = metrics
        self._access_log = access_log
        self._jobs = jobs
        self._settings = settings
        self._readiness = readiness
        self._schema = schemas.Health()
        self._lately = _LatestLines()
        self._job_counts: JobCounts = {}
        self._count_again = 0.0

    def routes(self) -> list[Route]:
        """Return the routes of these handlers."""
        v2 = f"{self._settings.base_path}/v2"
        metrics = f"{self._settings.base_path}/metrics"
        public = Access.PUBLIC
        internal = public if self._settings.open_metrics else Access.TOKEN
        return [
            *both(web.get, f"{v2}/health/live", self.live, public, shared_body),
            *both(web.get, f"{v2}/health/ready", self.ready, public, shared_body),
            *both(
                web.get,
                f"{v2}/models/{MODEL}/ready",
                self.model_ready,
                public,
                shared_body,
            ),
            *both(web.get, f"{v2}/debug", self.debug, internal),
            *both(web.get, metrics, self.metrics, internal),
        ]

    async def recorder(self, app: web.Application) -> AsyncIterator[None]:
        """Record what is logged while the application runs."""
        logging.getLogger().addHandler(self._lately)
        yield
        logging.getLogger().removeHandler(self._lately)

    async def debug(self, request: web.Request) -> web.Response:
        """Answer with the latest lines of the log."""
        if not self._settings.debug_endpoint:
            return web.Response(status=204)
        self._access_log.flush()
        return web.Response(text="\n".join(self._lately.lines))

    async def live(self, request: web.Request) -> web.Response:
        """Answer that the server is alive."""
        return web.json_response(self._schema.dump({"status": "live", "live": True}))

    async def ready(self, request: web.Request) -> web.Response:
        """Tell whether the server and all models are ready."""
        state = await self._metrics.state()
        models = {name: self._health(status) for name, status in state.items()}
        ready = all(model["ready"] for model in models.values())
        health = {
            "status": "ready" if ready else "not ready",
            # for clients of the Open Inference Protocol: some read one, some the other
            "ready": ready,
            "live": True,
            "models": models,
        }
        return web.json_response(
            self._schema.dump(health), status=200 if ready else 503
        )

    async def model_ready(self, request: web.Request) -> web.Response:
        """Tell whether the server and one model are ready."""
        name = request.match_info["model"]
        status = (await self._metrics.state(name)).get(name)
        if status is None:
            raise NotFound(f"There is no model {name!r}.")
        health = {"name": name, **self._health(status)}
        return web.json_response(
            schemas.ModelHealth().dump(health), status=200 if health["ready"] else 503
        )

    def _health(self, status: ExecutorStatus) -> dict[str, Any]:
        return _health(status, stopping=self._readiness.stopping)

    async def metrics(self, request: web.Request) -> web.Response:
        """Answer with the metrics, as Prometheus reads them."""
        self._access_log.flush()
        state, jobs = await self._metrics.state(), await self._count_jobs()
        text = await asyncio.to_thread(self._metrics.text, state, jobs)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _count_jobs(self) -> JobCounts:
        """Count the jobs at most once a second: counting takes milliseconds."""
        now = time.monotonic()
        if now >= self._count_again:
            self._count_again = now + COUNT_INTERVAL
            try:
                self._job_counts = await self._jobs.count()
            except DeepaasError as error:  # the other metrics are still served
                logger.warning("The jobs cannot be counted: %s", error)
                self._job_counts = {}
        return self._job_counts


class _LatestLines(logging.Handler):
    """Keeps the latest lines of the log, the models' output among them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=MAX_LOG_LINES)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:  # as logging's own handlers do
            self.handleError(record)
        else:
            self.lines.extend(line[:MAX_LOG_LINE_CHARS] for line in text.split("\n"))


def _health(status: ExecutorStatus, *, stopping: bool) -> dict[str, Any]:
    health: dict[str, Any] = {
        "ready": status.ready and not stopping,
        "workers": [
            {
                "state": worker.state.value,
                "pid": worker.pid,
                "host": worker.host,
                "calls": worker.calls,
                "memory": worker.memory,
                "since": round(worker.since, 3),
                "trains": worker.trains,
                **({} if worker.gpu is None else {"gpu": worker.gpu}),
            }
            for worker in status.workers
        ],
    }
    if stopping:
        health["message"] = "The server is stopping."
    elif not status.ready:
        health["message"] = f"No worker is warm: {status.cause or 'starting'}."
    elif status.trains_in_all:
        health["message"] = "The model trains; predictions wait until it has ended."
    return health
