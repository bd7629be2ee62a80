"""Pools of worker processes on this machine: start, measure, replace and end them."""

import asyncio
import contextlib
import itertools
import logging
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from deepaas.errors import BadBody, ModelRaised, StartError, WorkerDied
from deepaas.executors.base import (
    Executor,
    Limits,
    Local,
    Printed,
    WorkerState,
    WorkerStatus,
)
from deepaas.executors.calls import ExitReason
from deepaas.executors.candidates import Candidates
from deepaas.executors.executor import QueuedExecutor
from deepaas.executors.frames import pack
from deepaas.executors.local_worker import LocalWorker
from deepaas.executors.messages import Call, Envelope
from deepaas.executors.output import log_output
from deepaas.executors.process import Launch
from deepaas.executors.queue import Queue
from deepaas.model.loading import ModelRef

logger = logging.getLogger(__name__)

BACK_OFF_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds to wait before the next start, by how many starts failed in a row."""

EXIT_GRACE = 1.0
"""Seconds that a worker told to end has for its exit handlers."""


def local_executor(
    ref: ModelRef,
    where: Local,
    limits: Limits,
    *,
    warm: bool,
    envelope: Envelope,
) -> Executor:
    """Make an executor with worker processes on this machine."""
    launch = Launch.from_this_process(ref, warm=warm, envelope=envelope)
    queue = Queue(KeptPool(launch, where, limits), limits.max_queued)
    trainings = None
    if where.train_workers:
        trainings = Queue(TrainingPool(launch, where, limits), limits.max_queued)
    executor = QueuedExecutor(queue, trainings)
    executor.listen(on_output=log_output)
    return executor


class _WorkerPool(ABC):
    """Worker processes of one model, behind one queue.

    A kind of pool decides when it starts a worker, what a free one does next, and what
    follows when one was lost.
    """

    queue: Queue
    _trains = False

    def __init__(self, launch: Launch, where: Local, limits: Limits) -> None:
        self._launch = launch
        self._where = where
        self._limits = limits
        self.slots: list[LocalWorker] = []
        self.replaced: Counter[str] = Counter()
        self._closing = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def model(self) -> str:
        return self._launch.start.ref.name

    # -- for the queue

    def pack(self, call: Call) -> bytes:
        try:
            return pack(call)
        except RecursionError as error:
            raise BadBody("An argument is nested too deeply.") from error
        except Exception as error:  # an author's own class may raise anything
            raise ModelRaised(
                f"An argument cannot be sent to the worker: {error}"
            ) from error

    def statuses(self) -> list[WorkerStatus]:
        return [worker.status(trains=self._trains) for worker in self.slots]

    async def measure(self) -> None:
        await asyncio.to_thread(_measure, list(self.slots))

    @abstractmethod
    def release(self, worker: LocalWorker) -> None:
        """Offer a free worker to the queue, or end it."""

    def stop(self) -> None:
        self._closing.set()

    async def close(self) -> None:
        await asyncio.gather(*(worker.end(EXIT_GRACE) for worker in self.slots))
        await asyncio.gather(*self._tasks)

    # -- events of workers

    def on_ready(self, worker: LocalWorker) -> None:
        self.release(worker)

    def on_answered(self, worker: LocalWorker) -> None:
        if worker.given:
            self.queue.advance(worker)
        else:
            self.release(worker)

    def on_stream(self, worker: LocalWorker) -> None:
        self.queue.reclaim(worker)

    def on_exit(self, worker: LocalWorker) -> None:
        self.queue.withdraw(worker)
        self._spawn(self._handle_exit(worker))

    def on_output(self, printed: Printed) -> None:
        self.queue.tell_output(printed)

    # -- a worker's life

    def _new_worker(self, number: int, gpu: str | None) -> LocalWorker:
        """Start a process. Raises OSError where the machine can start no more."""
        return LocalWorker(self._launch, self, self._limits, number=number, gpu=gpu)

    async def _connect(self, worker: LocalWorker) -> None:
        await worker.connect()
        if self._limits.warm_timeout:
            seconds = self._limits.warm_timeout
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, self._give_up_warming, worker)

    def _give_up_warming(self, worker: LocalWorker) -> None:
        if worker.state is WorkerState.STARTING:
            words = f"it was not warm after {self._limits.warm_timeout:g} s"
            worker.kill(ExitReason.WARMING, words)

    async def _end(self, worker: LocalWorker) -> None:
        """Let a worker exit that has done what it was for."""
        worker.retired = True
        await worker.end(EXIT_GRACE)

    async def _handle_exit(self, worker: LocalWorker) -> None:
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

    def _log_exit(self, worker: LocalWorker, label: str) -> None:
        facts = {"model": self.model, "worker": worker.pid, "request_id": label}
        logger.warning(
            "%sA worker of %s ended: %s.",
            f"{label}: " if label else "",
            self.model,
            worker.process.failure or worker.process.death(),
            extra={"extra": facts},
        )

    def _fail_start(self, worker: LocalWorker, cause: str) -> bool:
        """Fail what waits for the worker to start, and tell whether something did."""
        return False

    @abstractmethod
    async def _refill(self, worker: LocalWorker) -> None:
        """Do what follows when a worker has exited and is collected."""

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class KeptPool(_WorkerPool):
    """Workers that are kept: each one that is lost is replaced, with a back-off."""

    def __init__(self, launch: Launch, where: Local, limits: Limits) -> None:
        super().__init__(launch, where, limits)
        self._started: asyncio.Future[None] | None = None
        """Set when all are warm for the first time, or when one cannot be."""
        self._failed_starts = 0
        """The number of starts that failed in a row."""
        self._launched = 0.0
        """The time when the first worker was started."""
        self._candidates = Candidates()
        self._leaving: set[LocalWorker] = set()
        """Workers that were replaced, and finish what they have begun."""

    @property
    def size(self) -> int:
        """Return how many workers there may be."""
        return self._where.workers

    @property
    def spared(self) -> int:
        """Return how many warm workers trainings leave for other calls."""
        return 1 if self.size > 1 else 0

    def launch(self) -> None:
        """Begin to start the workers. Raises StartError."""
        if not self.slots:
            self._launched = time.monotonic()
        while len(self.slots) < self.size:
            try:
                self.slots.append(self._start_at(len(self.slots)))
            except OSError as error:
                raise StartError(_no_process(error)) from error

    async def start(self) -> None:
        """Wait until all workers are warm. Raises StartError."""
        self._started = asyncio.get_running_loop().create_future()
        self.launch()
        for worker in self.slots:
            await self._connect(worker)
        await self._started

    def free(self, offered: int) -> int:
        """Return how many more calls can begin now."""
        return offered

    def request(self, waiting: int) -> None:
        """There are always as many workers as there may be."""

    def release(self, worker: LocalWorker) -> None:
        """Offer a free worker to the queue, unless it has reached a limit."""
        if 0 < self._limits.max_calls <= worker.calls:
            self.queue.availability.recover()
            self._spawn(self._retire(worker, "calls"))
        elif self._limits.max_memory and worker.calls:
            self.queue.availability.recover()
            self._spawn(self._check_memory(worker))
        else:
            self.queue.offer(worker)
        started = self._starting()
        if started is not None and all(worker.warmed for worker in self.slots):
            started.set_result(None)
            for listener in self.queue.on_ready:
                listener(time.monotonic() - self._launched)

    def _start_at(self, number: int) -> LocalWorker:
        return self._new_worker(number, self._where.gpu(number))

    def _starting(self) -> asyncio.Future[None] | None:
        """Return what `start` waits for, if it still does."""
        waits = self._started is not None and not self._started.done()
        return self._started if waits else None

    def _fail_start(self, worker: LocalWorker, cause: str) -> bool:
        error = StartError(f"The model {self.model!r} cannot be served: {cause}")
        if self._candidates.note_failed(worker, error):
            return True
        if (started := self._starting()) is not None:
            started.set_exception(error)
        return started is not None

    # -- reloading

    async def reload(self) -> None:
        """Replace the workers, one after another, by those with the model's new code.

        Raises StartError if one cannot be warmed; it and those after it stay.
        """
        for number in range(self.size):
            try:
                worker = self._start_at(number)
            except OSError as error:
                raise StartError(_no_process(error)) from error
            await self._candidates.warm(worker, self._connect)
            self._swap(worker)

    def _swap(self, candidate: LocalWorker) -> None:
        """Let a warm worker take the place of the one with its number."""
        index = candidate.number
        old, self.slots[index] = self.slots[index], candidate
        self.replaced["reload"] += 1
        if old.state is not WorkerState.DEAD:
            self.slots.append(old)
            self._leaving.add(old)
            old.retired = True
            self.queue.withdraw(old)
            if not old.given:
                self._spawn(self._end(old))
        self.release(candidate)

    def on_ready(self, worker: LocalWorker) -> None:
        if not (self._candidates.note_ready(worker) or worker.retired):
            self.release(worker)

    def on_answered(self, worker: LocalWorker) -> None:
        if not worker.retired:
            super().on_answered(worker)
        elif not worker.given:
            self._spawn(self._end(worker))

    async def close(self) -> None:
        await self._candidates.close(EXIT_GRACE)
        await super().close()

    async def _check_memory(self, worker: LocalWorker) -> None:
        """Replace a worker that has grown too large by its last call."""
        size = await asyncio.to_thread(worker.process.measure)
        if worker.retired:
            return
        if size > self._limits.max_memory:
            await self._retire(worker, "memory")
        elif worker.state is WorkerState.IDLE:
            self.queue.offer(worker)

    async def _retire(self, worker: LocalWorker, limit: str) -> None:
        """Replace a worker that has reached a limit, while it ends."""
        if not self._closing.is_set():
            self.replaced[limit] += 1
            logger.info(
                "A worker of %s is replaced after %d calls: it has reached its limit "
                "of %s.",
                self.model,
                worker.calls,
                limit,
            )
            with contextlib.suppress(OSError):  # else it is replaced when it has ended
                await self._replace(worker)
        await self._end(worker)

    async def _refill(self, worker: LocalWorker) -> None:
        """Replace a lost worker, after a delay that grows with each failed start."""
        if worker in self._leaving:
            self._leaving.remove(worker)
            self.slots.remove(worker)
        if worker not in self.slots:
            return  # it was replaced while it ended
        self._failed_starts = 0 if worker.warmed else self._failed_starts + 1
        while not self._closing.is_set():
            self.queue.check_availability(self._failed_starts)
            closes = await self._closes_within(self._back_off())
            if closes or worker not in self.slots:  # it was replaced meanwhile
                return
            try:
                return await self._replace(worker)
            except OSError as error:
                cause = _no_process(error)
                self.queue.note_lost(cause)
                logger.warning("%s: %s", self.model, cause)
                self._failed_starts += 1

    def _back_off(self) -> float:
        return BACK_OFF_SECONDS[min(self._failed_starts, len(BACK_OFF_SECONDS) - 1)]

    async def _closes_within(self, seconds: float) -> bool:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)
        return self._closing.is_set()

    async def _replace(self, worker: LocalWorker) -> None:
        replacement = self._start_at(worker.number)
        self.slots[self.slots.index(worker)] = replacement
        await self._connect(replacement)


class TrainingPool(_WorkerPool):
    """Workers for trainings: each is started for one of them, and ends after it."""

    _trains = True
    spared = 0

    @property
    def size(self) -> int:
        """Return how many workers there may be."""
        return self._where.train_workers

    def launch(self) -> None:
        """There is nothing to train yet."""

    async def start(self) -> None:
        """There is nothing to train yet."""

    async def reload(self) -> None:
        """Each training loads the model's files anew."""

    def free(self, offered: int) -> int:
        """Return how many more trainings can begin now."""
        return self.size - sum(bool(worker.given) for worker in self.slots)

    def request(self, waiting: int) -> None:
        """Start as many workers as there are trainings, and as are allowed."""
        starting = sum(not worker.given for worker in self.slots)
        while starting < waiting and len(self.slots) < self.size:
            taken = {worker.number for worker in self.slots}
            number = next(n for n in itertools.count() if n not in taken)
            gpu = self._where.gpu(self._where.workers + number)
            try:
                worker = self._new_worker(number, gpu)
            except OSError as error:
                cause = _no_process(error)
                logger.warning("%s: %s", self.model, cause)
                self._fail_first(cause)
                waiting -= 1
                continue
            self.slots.append(worker)
            self._spawn(self._connect(worker))
            starting += 1

    def release(self, worker: LocalWorker) -> None:
        """Offer a warm worker to the queue, or end it after its training."""
        if worker.calls == 0 and self.queue.waits:
            self.queue.offer(worker)
        else:
            self._spawn(self._end(worker))

    async def _refill(self, worker: LocalWorker) -> None:
        """Make room for the next training; one that could not start has failed."""
        self.slots.remove(worker)
        if not worker.warmed:
            self._fail_first(worker.process.cause())
        if not self._closing.is_set():
            self.queue.dispatch()

    def _fail_first(self, cause: str) -> None:
        self.queue.fail_first(WorkerDied(f"The training could not start: {cause}."))


def _measure(workers: list[LocalWorker]) -> None:
    for worker in workers:
        worker.process.measure()


def _no_process(error: OSError) -> str:
    return f"no process can be started: {error.strerror}"
