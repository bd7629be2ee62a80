"""The metrics for Prometheus. Their names and labels are in doc/operations.md."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import TypeAlias

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from deepaas.executors import Ended, Executor, ExecutorStatus, WorkerState
from deepaas.jobs.records import Kind, Status

BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
    120,
    300,
    600,
)
"""Seconds: from a trivial model to a slow one."""

BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Calls."""

METHODS = frozenset(("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"))
"""Methods that have a label of their own; clients may invent others."""

REFUSED = 503
"""The status of calls that the queue refused."""

JobCounts: TypeAlias = Mapping[tuple[str, Kind, Status], int]
"""Jobs by model, kind and status."""


class Metrics:
    """The metrics of one server, in a registry of their own."""

    def __init__(self, executors: Mapping[str, Executor]) -> None:
        # The start times of the series would double their number, for no use.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self._executors = executors
        Info("deepaas", "The server.", registry=registry).info(
            {"version": version("deepaas")}
        )
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._add_request_metrics(registry)
        self._add_call_metrics(registry)
        # Looking a child up costs more than counting in it.
        self._request_counts = cache(self._counts_of_request)
        self._call_counts = cache(self._counts_of_call)

    def _add_request_metrics(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "deepaas_requests",
            "HTTP requests that were answered.",
            ["method", "route", "status"],
            registry=registry,
        )
        self._received = Counter(
            "deepaas_request_bytes",
            "Bytes of the bodies that were received.",
            ["route"],
            registry=registry,
        )
        self._sent = Counter(
            "deepaas_response_bytes",
            "Bytes that were sent, heads included.",
            ["route"],
            registry=registry,
        )

    def _add_call_metrics(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "deepaas_calls",
            "Calls of the models that are over, by the HTTP status of their outcome; "
            "499 if the caller had left.",
            ["model", "method", "status"],
            registry=registry,
        )
        self._queue = Histogram(
            "deepaas_call_queue_seconds",
            "Time that calls waited for a worker, without refused calls.",
            ["model", "method"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._run = Histogram(
            "deepaas_call_run_seconds",
            "Time that calls ran in the model.",
            ["model", "method"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._batch = Histogram(
            "deepaas_batch_size",
            "Calls that a model with predict_batch took together.",
            ["model"],
            buckets=BATCH_BUCKETS,
            registry=registry,
        )

    def count_requests(
        self,
        method: str,
        route: str,
        status: int,
        number: int,
        received: int,
        sent: int,
    ) -> None:
        """Count answered requests that are alike, and their bytes in all."""
        method = method if method in METHODS else "other"
        requests, bytes_in, bytes_out = self._request_counts(method, route, status)
        requests.inc(number)
        bytes_in.inc(received)
        bytes_out.inc(sent)

    def _counts_of_request(
        self, method: str, route: str, status: int
    ) -> tuple[Counter, Counter, Counter]:
        requests = self._requests.labels(method, route, status)
        return requests, self._received.labels(route), self._sent.labels(route)

    def count_call(self, model: str, call: Ended) -> None:
        """Count a call that is over."""
        calls, queue, run = self._call_counts(model, call.method, call.status)
        calls.inc()
        if call.ran is not None:
            run.observe(call.ran)
        if call.batch is not None:
            self._batch.labels(model).observe(call.batch)
        if call.ran is not None or call.status != REFUSED:
            queue.observe(call.waited)

    def _counts_of_call(
        self, model: str, method: str, status: int
    ) -> tuple[Counter, Histogram, Histogram]:
        calls = self._calls.labels(model, method, status)
        return calls, self._queue.labels(model, method), self._run.labels(model, method)

    async def state(self, *models: str) -> Mapping[str, ExecutorStatus]:
        """Measure the executors of all models, or of these, for `text`."""
        names = [name for name in models or self._executors if name in self._executors]
        measured = await asyncio.gather(*(self._executors[n].measure() for n in names))
        return dict(zip(names, measured, strict=True))

    def text(self, state: Mapping[str, ExecutorStatus], jobs: JobCounts) -> bytes:
        """Return all metrics as Prometheus reads them. Takes milliseconds."""
        current = CollectorRegistry()
        current.register(_Current(state, jobs))
        return generate_latest(self._registry) + generate_latest(current)


class _Current(Collector):
    """Metrics whose values are read at the time of a request for them."""

    def __init__(self, state: Mapping[str, ExecutorStatus], jobs: JobCounts) -> None:
        self._state = state
        self._jobs = jobs

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Return the metrics, as prometheus_client asks for them."""
        waiting, running = self._calls()
        workers, memory, gpus = self._workers()
        ready, replaced = self._models()
        jobs = self._job_counts()
        return iter((waiting, running, workers, ready, memory, gpus, replaced, jobs))

    def _calls(self) -> tuple[GaugeMetricFamily, GaugeMetricFamily]:
        waiting = GaugeMetricFamily(
            "deepaas_calls_waiting", "Calls in the queue.", labels=["model", "method"]
        )
        running = GaugeMetricFamily(
            "deepaas_calls_running", "Calls in the model.", labels=["model", "method"]
        )
        for model, status in self._state.items():
            for method in ("predict", "train"):
                waiting.add_metric([model, method], status.waiting.get(method, 0))
                running.add_metric([model, method], status.running.get(method, 0))
        return waiting, running

    def _workers(
        self,
    ) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
        workers = GaugeMetricFamily(
            "deepaas_workers", "Worker processes.", labels=["model", "state"]
        )
        memory = GaugeMetricFamily(
            "deepaas_worker_memory_bytes",
            "Resident memory of a worker with what it has started.",
            labels=["model", "worker"],
        )
        gpus = GaugeMetricFamily(
            "deepaas_worker_gpu",
            "1 for the GPU that a worker was given.",
            labels=["model", "worker", "gpu"],
        )
        for model, status in self._state.items():
            for state in WorkerState:
                count = sum(worker.state is state for worker in status.workers)
                workers.add_metric([model, state.value], count)
            for place, worker in enumerate(status.workers):
                memory.add_metric([model, str(place)], worker.memory)
                if worker.gpu is not None:
                    gpus.add_metric([model, str(place), worker.gpu], 1)
        return workers, memory, gpus

    def _models(self) -> tuple[GaugeMetricFamily, CounterMetricFamily]:
        ready = GaugeMetricFamily(
            "deepaas_model_ready",
            "1 if a worker is warm that takes any call, else 0.",
            labels=["model"],
        )
        replaced = CounterMetricFamily(
            "deepaas_worker_replacements",
            "Workers that were replaced by new ones.",
            labels=["model", "cause"],
        )
        for model, status in self._state.items():
            ready.add_metric([model], status.ready)
            for cause, number in status.replaced.items():
                replaced.add_metric([model, cause], number)
        return ready, replaced

    def _job_counts(self) -> GaugeMetricFamily:
        counts = GaugeMetricFamily(
            "deepaas_jobs", "Jobs that are kept.", labels=["model", "method", "status"]
        )
        for (model, kind, outcome), number in self._jobs.items():
            if model in self._state:
                counts.add_metric([model, kind.value, outcome.value], number)
        return counts
