"""The servers of benchmarks.deep: how each is started, asked and understood.

All are in one environment, which has PyTorch once.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import DEEP
from benchmarks.servers import HERE, HOST, Server, Start, bentoml_variables
from benchmarks.workloads import Request, Workload

PARTS = "parts"
"""The file with the times of the parts, in the folder of the server."""


def numbers(body: bytes) -> list[float]:
    """Return the answer of any of the servers."""
    value: Any = json.loads(body)
    if isinstance(value, dict):
        value = value["predictions"]
    return list(value[0] if isinstance(value[0], list) else value)


@dataclass(frozen=True)
class Deep(Server):
    """A server with a deep model: `settings` are variables for deepaas_benchmark."""

    environment: str = DEEP
    workers: int = 1
    settings: dict[str, str] = field(default_factory=dict)

    def variables(self, start: Start) -> dict[str, str]:
        path = [str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        return (
            super().variables(start)
            | {
                "BENCHMARK_WORKERS": str(self.workers),
                "BENCHMARK_PARTS": str(start.folder / PARTS),
                "PYTHONPATH": os.pathsep.join(filter(None, path)),
            }
            | self.settings
        )

    def answer(self, workload: str, body: bytes) -> str:
        return f"{len(numbers(body))} numbers"


class Deepaas(Deep):
    def command(self, start: Start) -> list[str]:
        return [
            *(python(start.binaries), "-m", "deepaas"),
            *("--listen-ip", HOST, "--listen-port", str(start.port)),
            *("--model", f"{start.workload}=deepaas_benchmark.{start.workload}"),
            *("--workers", str(self.workers), "--raw-predictions"),
        ]

    def request(self, workload: Workload) -> Request:
        return workload.request(f"/v2/models/{workload.name}/predict/")


class LitServe(Deep):
    def command(self, start: Start) -> list[str]:
        app = str(HERE / "litserve_deep.py")
        return [python(start.binaries), app, str(start.port)]


class BentoML(Deep):
    def command(self, start: Start) -> list[str]:
        return [
            *(python(start.binaries), "-m", "bentoml", "serve", "bentoml_deep:Model"),
            *("--host", HOST, "--port", str(start.port)),
        ]

    def variables(self, start: Start) -> dict[str, str]:
        return super().variables(start) | bentoml_variables(start)

    def request(self, workload: Workload) -> Request:
        if isinstance(workload.value, bytes):
            return workload.request(f"/{workload.name}")
        body = json.dumps({workload.argument: [workload.value]}).encode()
        return Request(f"/{workload.name}", "application/json", body)


SERVERS: dict[str, Deep] = {
    server.name: server
    for server in (
        Deepaas("ours"),
        Deepaas("ours-2", workers=2),
        Deepaas("ours-single", settings={"BENCHMARK_BATCH": "1"}),
        LitServe("litserve"),
        LitServe("litserve-2", workers=2),
        BentoML("bentoml"),
        BentoML("bentoml-2", workers=2),
    )
}
"""`ours-single` has no `predict_batch`; those with a 2 have two workers, not one."""


def python(binaries: Path) -> str:
    """Return the interpreter of an environment, or the one that runs."""
    own = Path(sys.executable)
    return str(own if own.parent == binaries else binaries / "python")
