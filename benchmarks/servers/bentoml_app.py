"""BentoML: one worker process, which computes in threads."""

import os
from pathlib import Path

import bentoml
from deepaas_benchmark import work

WORKLOAD = os.environ["BENCHMARK_WORKLOAD"]


@bentoml.service(workers=1)
class Model:
    def __init__(self) -> None:
        self.compute = work.LOADERS[WORKLOAD]()

    @bentoml.api
    def echo(self, n: int) -> int:
        return self.compute(n)

    @bentoml.api
    def cpu(self, n: int) -> int:
        return self.compute(n)

    @bentoml.api
    def tabular(self, row: list[float]) -> int:
        return self.compute(row)

    @bentoml.api
    def upload(self, data: Path) -> str:
        return self.compute(data.read_bytes())
