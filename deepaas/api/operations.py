"""What operators ask: is the server alive, is it ready, what did it say lately."""

import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger

from deepaas.api import schemas
from deepaas.config import Settings
from deepaas.executors import Executor

LATELY = 1000
"""Lines that the debug endpoint shows."""

LONGEST = 2000
"""Characters of a line that it shows."""


class Operations:
    """Health by the model's name, and the latest lines of the log."""

    def __init__(self, executors: Mapping[str, Executor], settings: Settings) -> None:
        self._executors = executors
        self._settings = settings
        self._schema = schemas.Health()
        self._lately = _Lately()

    def routes(self) -> list[web.AbstractRouteDef]:
        paths = {
            "/v2/health/live": self.live,
            "/v2/health/ready": self.ready,
            "/v2/debug": self.debug,
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
        models = {name: _health(executor) for name, executor in self._executors.items()}
        ready = all(model["ready"] for model in models.values())
        health = {"status": "ready" if ready else "not ready", "models": models}
        return web.json_response(
            self._schema.dump(health), status=200 if ready else 503
        )


class AccessLog(AbstractAccessLogger):
    """A line for each request; without its query, which may hold a secret."""

    @property
    def enabled(self) -> bool:
        return self.logger.isEnabledFor(logging.INFO)

    def log(
        self, request: web.BaseRequest, response: web.StreamResponse, time: float
    ) -> None:
        self.logger.info(
            '%s "%s %s" %d %d %.6f',
            request.remote,
            request.method,
            request.rel_url.raw_path,
            response.status,
            response.body_length,
            time,
        )


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


def _health(executor: Executor) -> dict[str, Any]:
    workers = executor.workers()
    ready = any(worker.ready for worker in workers)
    health: dict[str, Any] = {
        "ready": ready,
        "workers": [
            {"state": worker.state.value, "pid": worker.pid, "calls": worker.calls}
            for worker in workers
        ],
    }
    if not ready:
        causes = [worker.cause for worker in workers if worker.cause]
        health["message"] = f"No worker is warm: {'; '.join(causes) or 'starting'}."
    return health
