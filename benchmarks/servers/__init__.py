"""The servers that are compared: how each is started, asked and understood.

The files beside this one are run by the servers, in their environments.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path

from benchmarks.environments import BEFORE, OURS
from benchmarks.workloads import Request, Workload

HERE = Path(__file__).resolve().parent
FLOOR = HERE.parent / "floor.py"
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Start:
    """The parameters of a server's start."""

    binaries: Path
    """Of its environment."""
    workload: str
    port: int
    folder: Path
    """Its working directory, empty at first and removed in the end."""


@dataclass(frozen=True)
class Server:
    """A server that answers at `/predict`, with the answer under `predictions`."""

    name: str
    environment: str

    def command(self, start: Start) -> list[str]:
        raise NotImplementedError

    def variables(self, start: Start) -> dict[str, str]:
        """Return what its environment has besides ours."""
        return {"BENCHMARK_WORKLOAD": start.workload, "PYTHONPATH": str(HERE)}

    def request(self, workload: Workload) -> Request:
        return workload.request("/predict")

    def answer(self, workload: str, body: bytes) -> str:
        return str(json.loads(body)["predictions"])


@dataclass(frozen=True)
class Floor(Server):
    """A bare handler and one hop: what no server can do better."""

    def command(self, start: Start) -> list[str]:
        python = str(start.binaries / "python")
        return [python, str(FLOOR), start.workload, str(start.port)]


@dataclass(frozen=True)
class Deepaas(Server):
    """Ours and 2.6.0, by the command and the model that both know."""

    options: tuple[str, ...] = ()

    def command(self, start: Start) -> list[str]:
        return [
            str(start.binaries / "deepaas-run"),
            *("--listen-ip", HOST, "--listen-port", str(start.port)),
            *("--model-name", start.workload, *self.options),
        ]

    def request(self, workload: Workload) -> Request:
        return workload.request(f"/v2/models/{workload.name}/predict/")


@dataclass(frozen=True)
class LitServe(Server):
    def command(self, start: Start) -> list[str]:
        app = str(HERE / "litserve_app.py")
        return [str(start.binaries / "python"), app, str(start.port)]


@dataclass(frozen=True)
class MLServer(Server):
    def command(self, start: Start) -> list[str]:
        settings = {"name": "benchmark", "implementation": "mlserver_app.Model"}
        model = start.folder / "benchmark"
        model.mkdir()
        (model / "model-settings.json").write_text(json.dumps(settings))
        return [str(start.binaries / "mlserver"), "start", str(start.folder)]

    def variables(self, start: Start) -> dict[str, str]:
        return super().variables(start) | {
            "MLSERVER_HOST": HOST,
            "MLSERVER_HTTP_PORT": str(start.port),
            "MLSERVER_GRPC_PORT": str(free_port()),
            "MLSERVER_METRICS_PORT": str(free_port()),
            "MLSERVER_DEBUG": "false",
        }

    def request(self, workload: Workload) -> Request:
        if isinstance(workload.value, bytes):
            return workload.request("/upload")
        values = (
            workload.value if isinstance(workload.value, list) else [workload.value]
        )
        tensor = {
            "name": workload.argument,
            "shape": [len(values)],
            "datatype": "FP64" if isinstance(values[0], float) else "INT64",
            "data": values,
        }
        body = json.dumps({"inputs": [tensor]}).encode()
        return Request("/v2/models/benchmark/infer", "application/json", body)

    def answer(self, workload: str, body: bytes) -> str:
        answer = json.loads(body)
        return str(answer if workload == "upload" else answer["outputs"][0]["data"][0])


def bentoml_variables(start: Start) -> dict[str, str]:
    """Return the variables with which BentoML stays in the folder of a benchmark."""
    return {
        "BENTOML_HOME": str(start.folder / "home"),
        "BENTOML_DO_NOT_TRACK": "true",
    }


@dataclass(frozen=True)
class BentoML(Server):
    def command(self, start: Start) -> list[str]:
        return [
            *(str(start.binaries / "bentoml"), "serve", "bentoml_app:Model"),
            *("--host", HOST, "--port", str(start.port)),
        ]

    def variables(self, start: Start) -> dict[str, str]:
        return super().variables(start) | bentoml_variables(start)

    def request(self, workload: Workload) -> Request:
        return workload.request(f"/{workload.name}")

    def answer(self, workload: str, body: bytes) -> str:
        return body.decode()


SERVERS: dict[str, Server] = {
    server.name: server
    for server in (
        Floor("floor", OURS),
        Deepaas("ours", OURS),
        Deepaas("ours-2", OURS, ("--workers", "2")),
        Deepaas("before", BEFORE),
        Deepaas("deepaas-2.6.0", "deepaas-2.6.0"),
        LitServe("litserve", "litserve"),
        MLServer("mlserver", "mlserver"),
        BentoML("bentoml", "bentoml"),
    )
}
"""`ours-2` has two workers, all others one."""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        port: int = taken.getsockname()[1]
        return port
