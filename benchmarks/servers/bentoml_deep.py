"""BentoML with its adaptive batching; the concurrency is the size of a batch.

https://docs.bentoml.com/en/latest/guides/adaptive-batching.html
https://docs.bentoml.com/en/latest/guides/concurrency.html
"""

import os
from pathlib import Path

import bentoml
from deepaas_benchmark import deep

WORKLOAD = os.environ["BENCHMARK_WORKLOAD"]
MAX_LATENCY = 30_000
"""Milliseconds; a call that would take longer is refused."""


@bentoml.service(
    workers=int(os.environ["BENCHMARK_WORKERS"]),
    traffic={"timeout": 60, "concurrency": deep.max_batch()},
    resources={"gpu": 1} if deep.device().type == "cuda" else {},
)
class Model:
    def __init__(self) -> None:
        self.model = deep.load(WORKLOAD)

    @bentoml.api(
        batchable=True, max_batch_size=deep.max_batch(), max_latency_ms=MAX_LATENCY
    )
    def pictures(self, data: list[Path]) -> list[list[float]]:
        return self.model(data)

    @bentoml.api(
        batchable=True, max_batch_size=deep.max_batch(), max_latency_ms=MAX_LATENCY
    )
    def texts(self, text: list[str]) -> list[list[float]]:
        return self.model(text)
