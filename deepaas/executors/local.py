"""Pools of worker processes on this machine: kept, for trainings, and describers."""

import asyncio
import contextlib
import itertools
import logging
import time
from dataclasses import replace

from deepaas.errors import StartError, WorkerDied
from deepaas.executors.base import (
    Executor,
    Limits,
    Local,
    WorkerState,
)
from deepaas.executors.candidates import Candidates
from deepaas.executors.executor import QueuedExecutor
from deepaas.executors.local_worker import LocalWorker
from deepaas.executors.messages import LOAD, Call, Envelope
from deepaas.executors.output import log_output
from deepaas.executors.process import Launch
from deepaas.executors.queue import Queue
from deepaas.executors.worker_pool import EXIT_GRACE, WorkerPool, no_process
from deepaas.model.loading import ModelRef

logger = logging.getLogger(__name__)

BACK_OFF_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds to wait before the next start, by how many starts failed in a row."""

DESCRIBER_IDLE_SECONDS = 60.0
"""Seconds without a question after which a describer is ended."""


def local_executor(
    ref: ModelRef,
    where: Local,
    limits: Limits,
    *,
    warm: bool,
    envelope: Envelope,
    describe: bool,
) -> Executor:
    """Make an executor with worker processes on this machine."""
    launch = Launch.from_this_process(
        ref, warm=warm, envelope=envelope, describe=describe
    )
    queue = Queue(KeptPool(launch, where, limits), limits.max_queued)
    silent = launch.with_start(describe=False)
    trainings = describers = None
    if where.train_workers:
        trainings = Queue(TrainingPool(silent, where, limits), limits.max_queued)
    if describe:
        pool = DescriberPool(silent.with_start(warm=False), where, limits)
        describers = Queue(pool, limits.max_queued)
    executor = QueuedExecutor(queue, trainings, describers)
    executor.listen(on_output=log_output)
    return executor


class KeptPool(WorkerPool):
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
                raise StartError(no_process(error)) from error

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
                raise StartError(no_process(error)) from error
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
        self.queue.note_description(worker.description)
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
                cause = no_process(error)
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


class TrainingPool(WorkerPool):
    """Workers for trainings: each is started for one of them, and ends after it."""

    _trains = True
    spared = 0

    @property
    def size(self) -> int:
        """Return how many workers there may be."""
        return self._where.train_workers

    def launch(self) -> None:
        """Start nothing: a worker starts with the first training."""

    async def start(self) -> None:
        """Start nothing: a worker starts with the first training."""

    async def reload(self) -> None:
        """Each training loads the model's files again."""

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
                cause = no_process(error)
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


class DescriberPool(WorkerPool):
    """Describers: workers that are not warmed, for questions on the model.

    One is started when it is first needed, and ended when it was idle for a while. A
    second one is started if values have to be loaded while the first does what may
    take long: `get_metadata`, or to describe the model.
    """

    _noun = "describer"
    spared = 0

    def __init__(self, launch: Launch, where: Local, limits: Limits) -> None:
        super().__init__(launch, where, replace(limits, max_calls=0, max_memory=0))
        self._outdated: set[LocalWorker] = set()
        """Those that answer no more questions: the model may have changed."""

    @property
    def size(self) -> int:
        """Return how many there may be, beside those that are outdated."""
        return 2

    @property
    def current(self) -> list[LocalWorker]:
        """Return those that answer questions, or will."""
        return [
            worker
            for worker in self.slots
            if worker not in self._outdated and worker.state is not WorkerState.DEAD
        ]

    def renew(self) -> None:
        """Let new processes answer from now on; those that there are end."""
        for worker in self.current:
            self._outdated.add(worker)
            self.queue.withdraw(worker)
            if worker.idle:
                self._spawn(self._end(worker))

    def launch(self) -> None:
        """Start nothing: a describer starts with the first question."""

    async def start(self) -> None:
        """Start nothing: a describer starts with the first question."""

    async def reload(self) -> None:
        """Let new processes answer, which load the model's files again."""
        self.renew()

    def free(self, offered: int) -> int:
        """Return how many more questions can be answered now."""
        return offered

    def request(self, waiting: int) -> None:
        """Start a describer, or a second one, if there is none that is soon free."""
        if self._closing.is_set() or len(self.current) == self.size:
            return
        for worker in self.current:
            if worker.current is None or _is_quick(worker.current.call):
                return
        try:
            worker = self._new_worker(len(self.slots), self._where.gpu(0))
        except OSError as error:
            self._fail_waiting(no_process(error))
            return
        self.slots.append(worker)
        self._spawn(self._connect(worker))

    def release(self, worker: LocalWorker) -> None:
        """Offer a free describer to the queue, or end it when it was idle long."""
        if worker in self._outdated:
            self._spawn(self._end(worker))
            return
        self.queue.offer(worker)
        if worker.idle:
            loop = asyncio.get_running_loop()
            loop.call_later(DESCRIBER_IDLE_SECONDS, self._end_if_idle, worker)

    def _end_if_idle(self, worker: LocalWorker) -> None:
        # A timer of its own runs since it was last released.
        if worker.idle and worker.since >= DESCRIBER_IDLE_SECONDS:
            self._outdated.add(worker)
            self.queue.withdraw(worker)
            self._spawn(self._end(worker))

    async def _refill(self, worker: LocalWorker) -> None:
        self.slots.remove(worker)
        self._outdated.discard(worker)
        if not worker.warmed and not worker.retired:
            self._fail_waiting(worker.process.cause())
        if not self._closing.is_set():
            self.queue.dispatch()

    def _fail_waiting(self, cause: str) -> None:
        logger.warning("%s: no describer can be started: %s", self.model, cause)
        error = WorkerDied(f"The model's arguments cannot be read: {cause}.")
        while self.queue.waits:
            self.queue.fail_first(error)


def _is_quick(question: Call) -> bool:
    """Tell whether a question is answered soon: the values of a small request."""
    return question.method == LOAD and question.kwargs["given"].file is None
