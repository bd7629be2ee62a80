"""WorkerPool: what pools of worker processes have in common."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from deepaas.errors import WorkerDied
from deepaas.executors.base import Limits, Printed, WorkerState, WorkerStatus
from deepaas.executors.calls import ExitReason
from deepaas.executors.frames import pack_call
from deepaas.executors.local_worker import LocalWorker
from deepaas.executors.messages import Call
from deepaas.executors.process import Launch
from deepaas.executors.queue import Queue
from deepaas.executors.workers import Where, Worker

logger = logging.getLogger(__name__)

EXIT_GRACE = 1.0
"""Seconds that a worker told to end has for its exit handlers."""


class WorkerPool(ABC):
    """Worker processes of one model, behind one queue.

    A kind of pool decides when it starts a worker, what a free one does next, and what
    follows when one was lost.
    """

    queue: Queue
    _trains = False
    _noun = "worker"

    def __init__(self, launch: Launch, where: Where, limits: Limits) -> None:
        self._launch = launch
        self._where = where
        self._limits = limits
        self.slots: list[Worker] = []
        self.replaced: Counter[str] = Counter()
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def model(self) -> str:
        return self._launch.start.ref.name

    # -- for the queue

    def pack(self, call: Call) -> bytes:
        return pack_call(call)

    def statuses(self) -> list[WorkerStatus]:
        return [worker.status(trains=self._trains) for worker in self.slots]

    async def measure(self) -> None:
        await asyncio.gather(*(worker.measure() for worker in self.slots))

    @abstractmethod
    def release(self, worker: Worker) -> None:
        """Offer a free worker to the queue, or end it."""

    def stop(self) -> None:
        self._closing.set()

    async def close(self) -> None:
        await asyncio.gather(*(worker.end(EXIT_GRACE) for worker in self.slots))
        await asyncio.gather(*self._tasks)

    # -- events of workers

    def on_ready(self, worker: Worker) -> None:
        self.queue.note_description(worker.description)
        self.release(worker)

    def on_answered(self, worker: Worker) -> None:
        if worker.given:
            self.queue.advance(worker)
        else:
            self.release(worker)

    def on_stream(self, worker: Worker) -> None:
        self.queue.reclaim(worker)

    def on_exit(self, worker: Worker) -> None:
        self.queue.withdraw(worker)
        self._spawn(self._handle_exit(worker))

    def on_output(self, printed: Printed) -> None:
        self.queue.tell_output(printed)

    # -- a worker's life

    def _new_worker(self, number: int, gpu: str | None) -> Worker:
        """Start a process. Raises OSError where the machine can start no more."""
        launch = self._next_launch()
        return LocalWorker(launch, self, self._limits, number=number, gpu=gpu)

    def _next_launch(self) -> Launch:
        """Return what the next worker is started with; only the first describes."""
        if self.queue.described is not None:
            return self._launch.with_start(describe=False)
        return self._launch

    async def _connect(self, worker: Worker) -> None:
        await worker.connect()
        if self._limits.warm_timeout:
            seconds = self._limits.warm_timeout
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, self._give_up_warming, worker)

    def _give_up_warming(self, worker: Worker) -> None:
        if worker.state is WorkerState.STARTING:
            words = f"it was not warm after {self._limits.warm_timeout:g} s"
            worker.kill(ExitReason.WARMING, words)

    async def _end(self, worker: Worker) -> None:
        """Let a worker exit that has done what it was for."""
        worker.retired = True
        await worker.end(EXIT_GRACE)

    async def _handle_exit(self, worker: Worker) -> None:
        """Fail the calls of a worker that exited, and let the pool start another."""
        label = worker.current.label if worker.current is not None else ""
        await worker.collect()  # with the last lines that it printed
        process = worker.process
        died = WorkerDied(f"The worker died in the call: {process.death()}.")
        self.queue.fail_begun(worker, died)
        if not (self._closing.is_set() or worker.retired):
            cause = process.cause()
            if self._fail_start(worker, cause):
                return
            self.queue.note_lost(cause)
            self._log_exit(worker, label)
            self.replaced[process.exit_reason(warmed=worker.warmed)] += 1
        await self._refill(worker)

    def _log_exit(self, worker: Worker, label: str) -> None:
        facts = {"model": self.model, "worker": worker.pid, "request_id": label}
        logger.warning(
            "%sA %s of %s ended: %s.",
            f"{label}: " if label else "",
            self._noun,
            self.model,
            worker.process.failure or worker.process.death(),
            extra={"extra": facts},
        )

    def _fail_start(self, worker: Worker, cause: str) -> bool:
        """Fail what waits for the worker to start, and tell whether something did."""
        return False

    @abstractmethod
    async def _refill(self, worker: Worker) -> None:
        """Do what follows when a worker has exited and is collected."""

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def no_process(error: OSError) -> str:
    return f"no process can be started: {error.strerror}"
