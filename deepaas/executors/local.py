"""Worker processes on this machine, and the calls that wait for them."""

import asyncio
import contextlib
import itertools
import logging
import os
import sys
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from deepaas.errors import (
    LEFT,
    BadBody,
    CallTimeout,
    DeepaasError,
    ModelRaised,
    StartError,
    Unavailable,
    WorkerDied,
)
from deepaas.executors import (
    Ended,
    Event,
    ExecutorStatus,
    Limits,
    Reply,
    WorkerState,
)
from deepaas.executors.family import resident
from deepaas.executors.messages import Call, Envelope, Start, pack
from deepaas.executors.process import Killed, PendingCall, Worker
from deepaas.model.loading import Batching, ModelRef

logger = logging.getLogger(__name__)

BACK_OFF = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds to wait before the next start, by how many starts failed in a row."""

HOPELESS = 3
"""Starts that fail in a row until waiting calls are given up."""

PATIENCE = 60.0
"""Seconds that calls wait for a model without any warm worker."""

MOST_AHEAD = 16
"""Calls that a worker may have at once."""

AHEAD = 0.002
"""Seconds that these are expected to take."""

SMALL = 65536
"""Bytes of calls that are sent ahead at once."""

LATE = 0.005
"""Seconds after which a call is too slow for others to be kept behind it."""

QUIET = 16
"""Calls without output until a worker has more than one: a line names its call."""

EXIT_GRACE = 1.0
"""Seconds that a worker told to end has for its exit handlers."""


class LocalExecutor:
    """Worker processes of one model, each replaced when it dies."""

    _trains = False

    def __init__(
        self,
        ref: ModelRef,
        *,
        workers: int,
        warm: bool,
        envelope: Envelope,
        limits: Limits,
        gpus: Sequence[str] = (),
        trainings: "TrainingExecutor | None" = None,
    ) -> None:
        self.ref = ref
        self._trainings = trainings
        """Runs trainings in workers of their own; None to share these."""
        self._count = workers
        self._start = Start(ref, list(sys.argv), warm, envelope)
        self._limits = limits
        self._gpus = gpus
        self._workers: list[Worker] = []
        self._idle: deque[Worker] = deque()
        self._waiting: OrderedDict[PendingCall, None] = OrderedDict()
        self._admitted = [0, 0]
        """Calls that are to come and have a place, by whether they train."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: asyncio.Future[None] | None = None
        self._closing = asyncio.Event()
        self._failed_starts = 0
        self._cause: str | None = None
        """What the last worker died of, or why it did not start."""
        self._patience: asyncio.TimerHandle | None = None
        """Runs while no worker is warm."""
        self._hopeless = False
        """No worker is warm, and none is to be expected soon."""
        self._gathering: asyncio.TimerHandle | None = None
        """Runs while the first call of a batch waits for others."""
        self._watching: asyncio.TimerHandle | None = None
        """Runs while a worker has calls ahead."""
        self._replaced: Counter[str] = Counter()
        """By cause."""
        self._listeners: list[Callable[[Ended], None]] = []

    # -- start and stop

    def launch(self) -> None:
        while len(self._workers) < self._count:
            try:
                self._workers.append(self._new_worker(len(self._workers)))
            except OSError as error:
                raise StartError(_no_process(error)) from error

    async def start(self) -> None:
        self._started = asyncio.get_running_loop().create_future()
        self.launch()
        try:
            for worker in self._workers:
                await self._connect(worker)
            await self._started
        except BaseException:
            await self.close(0)
            raise

    async def close(self, grace: float) -> None:
        if self._trainings is not None:
            await self._trainings.close(grace)
        self._closing.set()
        stopping = Unavailable("The server is stopping.")
        for worker in self._workers:
            self._take_back(worker)
        self._drop_waiting(stopping)
        for timer in (self._patience, self._gathering, self._watching):
            if timer is not None:
                timer.cancel()
        running = [
            asyncio.create_task(call.over())
            for worker in self._workers
            for call in worker.given
        ]
        if running and grace > 0:
            await asyncio.wait(running, timeout=grace)
        for worker in self._workers:
            for call in worker.given:
                call.resolve(stopping)
                worker.kill(Killed.STOPPING)
        await asyncio.gather(*(worker.end(EXIT_GRACE) for worker in self._workers))
        await asyncio.gather(*self._tasks, *running)

    def status(self) -> ExecutorStatus:
        running = [call.method for w in self._workers for call in w.running]
        ahead = sum(worker.ahead for worker in self._workers)
        waiting = Counter(call.method for call in self._waiting)
        if ahead:
            waiting["predict"] += ahead
        status = ExecutorStatus(
            workers=[worker.status(trains=self._trains) for worker in self._workers],
            waiting=waiting,
            running=Counter(running),
            replaced=self._replaced,
            cause=self._cause,
        )
        return status if self._trainings is None else self._trainings.join(status)

    def listen(self, on_end: Callable[[Ended], None]) -> None:
        self._listeners.append(on_end)

    def _tell(self, event: Ended) -> None:
        for listener in self._listeners:
            listener(event)

    # -- calls

    async def call(
        self,
        method: str,
        kwargs: Mapping[str, Any],
        *,
        media_type: str | None = None,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        reports: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> Reply:
        frame = _pack(Call(method, kwargs, media_type, reports))
        call = PendingCall(
            frame,
            method=method,
            timeout=timeout,
            finish=finish,
            label=label,
            alone=reports or method != "predict",
            on_event=on_event,
            on_end=self._tell,
        )
        if call.trains and self._trainings is not None:
            return await self._trainings.run(call)
        return await self.run(call)

    async def run(self, call: PendingCall) -> Reply:
        """Run a call, and do what is due when its caller is cancelled."""
        try:
            self._queue(call)
        except Unavailable as error:
            call.end(error.status)
            raise
        try:
            return await call.outcome
        except asyncio.CancelledError:
            await self._abandon(call)
            raise

    def admit(self, method: str) -> contextlib.ExitStack:
        trains = method == "train"
        if trains and self._trainings is not None:
            return self._trainings.admit(method)
        self._check(trains)
        place = contextlib.ExitStack()
        self._admitted[trains] += 1
        place.callback(self._give_back, trains)
        return place

    def _give_back(self, trains: bool) -> None:
        self._admitted[trains] -= 1

    def _check(self, trains: bool) -> None:
        """Raise Unavailable if a call could not even wait now."""
        self._refuse_if_closing()
        if self._hopeless:
            raise self._no_worker()
        ahead = sum(worker.ahead for worker in self._workers)
        waiting = len(self._waiting) + ahead
        if waiting + sum(self._admitted) < self._limits.max_queued:
            return
        # Trainings and predictions do not take each other's places.
        waiting = sum(call.trains == trains for call in self._waiting)
        waiting += 0 if trains else ahead
        free = max(0, self._free(trains) - self._admitted[not trains])
        self._refuse(waiting + self._admitted[trains] - free)

    def _queue(self, call: PendingCall) -> None:
        """Give a call to a worker, or let it wait for one."""
        self._check(call.trains)
        self._waiting[call] = None
        self._dispatch()

    def _refuse(self, waiting: int) -> None:
        if waiting >= self._limits.max_queued:
            raise Unavailable(
                f"{waiting} calls wait for this model; try again later.",
                headers={"Retry-After": "1"},
            )

    def _refuse_if_closing(self) -> None:
        if self._closing.is_set():
            raise Unavailable("The server is stopping.")

    def _dispatch(self) -> None:
        """Give waiting calls to idle workers, in order."""
        while self._idle and self._waiting:
            worker = self._idle[0]
            first = self._next_call()
            if first is None:
                return
            if worker.batching is not None:
                calls = self._batch(first, worker.batching)
            else:
                calls = self._share(worker) or [first]
            if not calls:
                return
            self._give(self._idle.popleft(), calls)

    def _share(self, worker: Worker) -> list[PendingCall]:
        """Return the waiting calls that a quick worker may have already."""
        fair = len(self._waiting) // self._count
        room = min(self._room(worker) - len(worker.given), fair)
        if room <= 0:
            return []
        calls: list[PendingCall] = []
        size = 0
        for call in self._waiting:
            size += len(call.frame)
            if len(calls) == room or call.alone or size > SMALL:
                break
            calls.append(call)
        return calls

    def _room(self, worker: Worker) -> int:
        """Return how many calls a worker may have at once."""
        quiet = worker.quiet >= QUIET
        if worker.batching is not None or not quiet or self._limits.max_memory:
            return 1
        room = int(AHEAD / max(worker.pace, AHEAD / MOST_AHEAD))
        if self._limits.max_calls:
            room = min(room, self._limits.max_calls - worker.calls)
        return room

    def _batch(self, first: PendingCall, batching: Batching) -> list[PendingCall]:
        """Return the calls that are taken together; none if more may still come."""
        if first.alone:
            return [first]
        others = (call for call in self._waiting if not call.alone)
        calls = list(itertools.islice(others, batching.max_size))
        if len(calls) < batching.max_size:
            rest = first.queued + batching.timeout - time.monotonic()
            if rest > 0:
                if self._gathering is None:
                    loop = asyncio.get_running_loop()
                    self._gathering = loop.call_later(rest, self._gathered)
                return []
        return calls

    def _gathered(self) -> None:
        """The first call of a batch has waited long enough for others."""
        self._gathering = None
        self._dispatch()

    def _give(self, worker: Worker, calls: Sequence[PendingCall]) -> None:
        for call in calls:
            del self._waiting[call]
        worker.send(calls)
        self._start_timers(worker)
        if worker.ahead:
            self._keep_watch()

    def _start_timers(self, worker: Worker) -> None:
        """Let the time run that a worker has for what it runs now."""
        for call in worker.running:
            if call.timeout and call.timer is None:
                loop = asyncio.get_running_loop()
                call.timer = loop.call_later(call.timeout, self._time_out, call)

    def _keep_watch(self) -> None:
        if self._watching is None:
            loop = asyncio.get_running_loop()
            self._watching = loop.call_later(LATE, self._watch)

    def _watch(self) -> None:
        """Take back what is behind a call that takes longer than was to be expected."""
        self._watching = None
        for worker in self._workers:
            if worker.ahead and worker.since > LATE:
                self._recall(worker)
        if any(worker.ahead for worker in self._workers):
            self._keep_watch()

    def _next_call(self) -> PendingCall | None:
        """Return the first call that may run: trainings leave a worker for others."""
        first = next(iter(self._waiting))
        if self._free(first.trains):
            return first
        return next((call for call in self._waiting if not call.trains), None)

    def _free(self, trains: bool) -> int:
        """Return how many idle workers may take such calls; trainings leave one."""
        idle = len(self._idle)
        if not trains or self._count == 1:
            return idle
        trainings = sum(worker.trains for worker in self._workers)
        # Those that are being replaced do not count: it may take them for ever.
        warm = sum(worker.alive for worker in self._workers)
        return max(0, min(idle, warm - 1 - trainings))

    async def _abandon(self, call: PendingCall) -> None:
        """Do what is due when nobody waits for a call any longer."""
        worker = call.worker
        if worker is not None and call in worker.given:
            self._recall(worker)  # it may not have begun
        if call.worker is None:
            self._waiting.pop(call, None)
            call.end(LEFT)
            return
        call.renew()  # the worker may still answer
        # If it has begun another one, the answer is here.
        if not (call.finish or call.outcome.done() or call.worker.ahead):
            call.resolve(WorkerDied("The call was cancelled.", status=LEFT))
            await call.worker.destroy(Killed.CANCELLED)
        with contextlib.suppress(DeepaasError):
            reply = await call.outcome
            if reply.delete and reply.path:
                os.unlink(reply.path)
            if reply.stream is not None:
                await reply.stream.aclose()

    def _time_out(self, call: PendingCall) -> None:
        worker = call.worker
        if worker is not None and call in worker.given:
            self._take_back(worker)
            if worker.ahead:  # it has begun another one: the answer is here
                self._dispatch()
                return
            self._waiting.pop(call, None)  # if it has not even begun this one
            worker.kill(Killed.TIMEOUT)
        call.resolve(CallTimeout(f"The model took longer than {call.timeout:g} s."))

    # -- workers

    def _new_worker(self, place: int) -> Worker:
        gpu = self._gpus[place % len(self._gpus)] if self._gpus else None
        return Worker(self._start, self._changed, place=place, gpu=gpu)

    async def _connect(self, worker: Worker) -> None:
        await worker.connect()
        if self._limits.warm_timeout:
            seconds = self._limits.warm_timeout
            loop = asyncio.get_running_loop()
            loop.call_later(seconds, self._give_up_warming, worker)

    def _give_up_warming(self, worker: Worker) -> None:
        if worker.state is WorkerState.STARTING:
            words = f"it was not warm after {self._limits.warm_timeout:g} s"
            worker.kill(Killed.WARMING, words)

    def _changed(self, worker: Worker) -> None:
        """A worker is ready, has answered, begins a stream, or is gone."""
        if worker.state is WorkerState.DEAD:
            if worker in self._idle:  # at once: it must be given no more calls
                self._idle.remove(worker)
            self._spawn(self._bury(worker))
        elif worker.state is WorkerState.IDLE:
            self._hope()
            if 0 < self._limits.max_calls <= worker.calls:
                self._spawn(self._retire(worker, "calls"))
            elif self._limits.max_memory and worker.calls:
                self._spawn(self._weigh(worker))
            else:
                self._rest(worker)
            self._check_started()
        else:
            self._start_timers(worker)
            if worker.streams:  # that may take long
                self._recall(worker)
            elif calls := self._share(worker):
                self._give(worker, calls)

    def _rest(self, worker: Worker) -> None:
        """Let a worker wait for its next call, or begin it."""
        self._idle.append(worker)
        self._dispatch()

    async def _weigh(self, worker: Worker) -> None:
        """Replace a worker that has grown too large by its last call."""
        # Looking through /proc takes milliseconds where there are many threads.
        size = await asyncio.to_thread(resident, worker.pid)
        if size > self._limits.max_memory:
            await self._retire(worker, "memory")
        elif worker.state is WorkerState.IDLE:
            self._rest(worker)

    def _check_started(self, failure: str | None = None) -> None:
        if self._started is None or self._started.done():
            return
        if failure is not None:
            self._started.set_exception(
                StartError(f"The model {self.ref.name!r} cannot be served: {failure}")
            )
        elif all(worker.ready for worker in self._workers):
            self._started.set_result(None)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _retire(self, worker: Worker, limit: str) -> None:
        """Replace a worker that has reached a limit, while it ends."""
        if not self._closing.is_set():
            self._replaced[limit] += 1
            logger.info(
                "A worker of %s is replaced after %d calls: it has reached its limit "
                "of %s.",
                *(self.ref.name, worker.calls, limit),
            )
            with contextlib.suppress(OSError):  # else it is replaced when it has ended
                await self._replace(worker)
        await worker.end(EXIT_GRACE)

    async def _bury(self, worker: Worker) -> None:
        """Say what a dead worker died of to whom it concerns, and replace it."""
        self._take_back(worker)
        self._dispatch()
        label = worker.current.label if worker.current is not None else ""
        await self._reap(worker)
        if self._closing.is_set() or worker not in self._workers:
            return
        self._cause = worker.cause()
        if self._started is not None and not self._started.done():
            self._check_started(self._cause)
            return
        name = self.ref.name
        logger.warning(
            "%sA worker of %s ended: %s.",
            *(f"{label}: " if label else "", name, self._cause),
            extra={"extra": {"model": name, "worker": worker.pid, "request_id": label}},
        )
        self._replaced[worker.ending()] += 1
        self._failed_starts = 0 if worker.ready else self._failed_starts + 1
        while await self._wait_to_start():
            try:
                return await self._replace(worker)
            except OSError as error:
                self._cause = _no_process(error)
                logger.warning("%s: %s", name, self._cause)
                self._failed_starts += 1

    async def _wait_to_start(self) -> bool:
        """Wait the longer, the more starts have failed; tell whether to try again."""
        self._despair()
        delay = BACK_OFF[min(self._failed_starts, len(BACK_OFF) - 1)]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closing.wait(), delay)
        return not self._closing.is_set()

    def _take_back(self, worker: Worker) -> bool:
        """Let calls that a worker has not begun wait again, as the first.

        Tell whether there were any.
        """
        calls = worker.take_back()
        for call in reversed(calls):
            if not call.outcome.done():  # its caller has not left
                self._waiting[call] = None
                self._waiting.move_to_end(call, last=False)
        return bool(calls)

    def _recall(self, worker: Worker) -> None:
        """Take back calls that a worker has not begun, for whoever is idle now."""
        if self._take_back(worker):
            if worker.state is WorkerState.IDLE:  # it has begun none
                self._changed(worker)
            else:
                self._dispatch()

    async def _reap(self, worker: Worker) -> None:
        """Collect a dead worker, and tell the callers of what it ran."""
        await worker.reap()  # with its call's last words
        while worker.given:
            obituary = worker.obituary()
            worker.given.popleft().resolve(
                WorkerDied(f"The worker died in the call: {obituary}.")
            )

    async def _replace(self, worker: Worker) -> None:
        replacement = self._new_worker(worker.place)
        self._workers[self._workers.index(worker)] = replacement
        await self._connect(replacement)

    # -- hope: calls wait for a worker to come, but not for ever

    def _hope(self) -> None:
        """A worker is warm."""
        self._hopeless = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _despair(self) -> None:
        """A worker has died: if it was the last, calls wait a while, then give up."""
        if any(worker.alive and not worker.trains for worker in self._workers):
            return
        if self._failed_starts >= HOPELESS:
            self._lose_hope()
        elif self._patience is None:
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(PATIENCE, self._lose_hope)

    def _lose_hope(self) -> None:
        self._hopeless = True
        self._drop_waiting(self._no_worker())

    def _no_worker(self) -> Unavailable:
        return Unavailable(
            f"No worker of {self.ref.name} is warm: {self._cause}.",
            headers={"Retry-After": "10"},
        )

    def _drop_waiting(self, reason: Unavailable) -> None:
        for call in self._waiting:
            call.resolve(reason)
        self._waiting.clear()


class TrainingExecutor(LocalExecutor):
    """Workers for trainings: each is started for one of them, and ends after it."""

    _trains = True

    def launch(self) -> None:
        pass

    async def start(self) -> None:
        pass

    def _check(self, trains: bool) -> None:
        self._refuse_if_closing()
        running = sum(bool(worker.given) for worker in self._workers)
        waiting = len(self._waiting) + sum(self._admitted)
        self._refuse(waiting - (self._count - running))

    def join(self, others: ExecutorStatus) -> ExecutorStatus:
        """Add the trainings to the status of what does not train."""
        ours = self.status()
        return replace(
            others,
            workers=others.workers + ours.workers,
            waiting={**others.waiting, **ours.waiting},
            running={**others.running, **ours.running},
        )

    def _dispatch(self) -> None:
        """Start as many workers as there are trainings, and as are allowed."""
        starting = sum(not worker.given for worker in self._workers)
        while starting < len(self._waiting) and len(self._workers) < self._count:
            taken = {worker.place for worker in self._workers}
            place = next(n for n in itertools.count() if n not in taken)
            try:
                worker = self._new_worker(place)
            except OSError as error:
                self._fail_first(_no_process(error))
                continue
            self._workers.append(worker)
            self._spawn(self._connect(worker))
            starting += 1

    def _changed(self, worker: Worker) -> None:
        if worker.state is WorkerState.IDLE:
            if worker.calls == 0 and self._waiting:
                self._give(worker, [next(iter(self._waiting))])
            else:
                self._spawn(worker.end(EXIT_GRACE))
        elif worker.state is WorkerState.DEAD:
            self._spawn(self._bury(worker))

    async def _bury(self, worker: Worker) -> None:
        self._take_back(worker)
        await self._reap(worker)
        self._workers.remove(worker)
        if not worker.ready and self._waiting:
            self._fail_first(worker.cause())
        if not self._closing.is_set():
            self._dispatch()

    def _fail_first(self, cause: str) -> None:
        first, _ = self._waiting.popitem(last=False)
        first.resolve(WorkerDied(f"The training could not start: {cause}."))


def _no_process(error: OSError) -> str:
    return f"no process can be started: {error.strerror}"


def _pack(call: Call) -> bytes:
    try:
        return pack(call)
    except RecursionError as error:
        raise BadBody("An argument is nested too deeply.") from error
    except Exception as error:  # whatever an author's own class raises
        raise ModelRaised(
            f"An argument cannot be sent to the worker: {error}"
        ) from error
