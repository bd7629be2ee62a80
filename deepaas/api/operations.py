"""What operators ask: is the server alive, is it ready."""

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from deepaas.api import schemas
from deepaas.executors import Executor


class Operations:
    """Health, by the model's name."""

    def __init__(self, executors: Mapping[str, Executor], *, base: str) -> None:
        self._executors = executors
        self._base = base
        self._schema = schemas.Health()

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get(f"{self._base}/v2/health/{kind}{slash}", handler)
            for kind, handler in (("live", self.live), ("ready", self.ready))
            for slash in ("", "/")
        ]

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response(self._schema.dump({"status": "live"}))

    async def ready(self, request: web.Request) -> web.Response:
        models = {name: _health(executor) for name, executor in self._executors.items()}
        ready = all(model["ready"] for model in models.values())
        health = {"status": "ready" if ready else "not ready", "models": models}
        return web.json_response(
            self._schema.dump(health), status=200 if ready else 503
        )


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
