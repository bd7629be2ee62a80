"""Pools of worker processes, without the processes: when they start and end some."""

import logging
from collections import deque

import pytest

from deepaas.errors import StartError, WorkerDied
from deepaas.executors import Limits, Local, WorkerState
from deepaas.executors.local import BACK_OFF_SECONDS, KeptPool, TrainingPool
from deepaas.executors.messages import Call, Envelope, Reply
from deepaas.executors.process import Launch
from deepaas.executors.queue import Queue
from deepaas.model.loading import ModelRef
from tests.unit.executors.fakes import FakeSlot, still_loop

LAUNCH = Launch.from_this_process(ModelRef("m", "x"), warm=True, envelope=Envelope.NONE)


class FakeProcess:
    def __init__(self):
        self.failure = None

    def death(self):
        return "exit code 7"

    def cause(self):
        return self.failure or "a worker died: exit code 7"

    def exit_reason(self, *, warmed):
        return "died" if warmed else "start"


class FakeWorker(FakeSlot):
    """A worker that is ready, answers and exits when it is told to."""

    def __init__(self, pool, number, gpu):
        super().__init__(pool)
        self.number, self.gpu = number, gpu
        self.given = deque()
        self.warmed = self.retired = False
        self.calls = self.pid = 0
        self.state = WorkerState.STARTING
        self.process = FakeProcess()

    @property
    def current(self):
        return self.given[0] if self.given else None

    async def connect(self):
        pass

    async def collect(self):
        pass

    async def end(self, grace):
        self.exit()

    def ready(self):
        self.warm = self.warmed = True
        self.state = WorkerState.IDLE
        self.pool.on_ready(self)
        self.pool.loop.turn()

    def answer(self):
        self.calls += 1
        self.given.popleft().resolve(Reply("text/plain", b""))
        self.pool.on_answered(self)
        self.pool.loop.turn()

    def exit(self, failure=None):
        if not self.dead:
            self.dead, self.warm = True, False
            self.process.failure = failure
            self.pool.on_exit(self)


class Fakes:
    """In place of processes: keeps all that were started."""

    def __init__(self, loop, pool, limits):
        self.loop = loop
        self.started = []
        self.refusals = 0
        self.pool = pool
        pool.loop = loop
        pool.begun = []
        pool._new_worker = self.start
        self.queue = Queue(pool, limits.max_queued)

    def start(self, number, gpu):
        if self.refusals:
            self.refusals -= 1
            raise OSError(24, "Too many open files")
        self.started.append(FakeWorker(self.pool, number, gpu))
        return self.started[-1]

    def call(self, method="train"):
        task = self.loop.create_task(self.queue.run(Call(method, {"n": 0})))
        self.loop.turn()
        return task

    def exit(self, worker, failure=None):
        worker.exit(failure)
        self.loop.turn(12)


@pytest.fixture
def loop():
    with still_loop() as made:
        yield made


def kept(loop, workers=1, **limits):
    limits = Limits(**limits)
    where = Local(workers, gpus=("a", "b"))
    fakes = Fakes(loop, KeptPool(LAUNCH, where, limits), limits)
    starting = loop.create_task(fakes.pool.start())
    loop.turn()
    return fakes, starting


def training(loop, size=2, **limits):
    limits = Limits(**limits)
    where = Local(1, train_workers=size, gpus=("a", "b"))
    return Fakes(loop, TrainingPool(LAUNCH, where, limits), limits)


def test_a_start_waits_for_all_workers(loop):
    fakes, starting = kept(loop, 2)
    assert [worker.gpu for worker in fakes.started] == ["a", "b"]
    fakes.started[1].ready()
    assert not starting.done()
    fakes.started[0].ready()
    assert starting.done()


def test_a_worker_that_fails_ends_the_start(loop):
    fakes, starting = kept(loop, 2)
    fakes.exit(fakes.started[0], "OSError: the weights are gone")
    with pytest.raises(StartError, match="'m' cannot be served: OSError: the weights"):
        starting.result()
    assert len(fakes.started) == 2


def test_a_lost_worker_is_replaced_at_once_and_logged(loop, caplog):
    caplog.set_level(logging.INFO, "deepaas.executors")
    fakes, _ = kept(loop, 2)
    for worker in list(fakes.started):
        worker.ready()
    fakes.exit(fakes.started[1])
    assert [worker.number for worker in fakes.pool.slots] == [0, 1]
    assert [worker.gpu for worker in fakes.started] == ["a", "b", "b"]
    assert fakes.pool.replaced == {"died": 1}
    [line] = [record.getMessage() for record in caplog.records]
    assert line == "A worker of m ended: exit code 7."


def test_starts_that_fail_in_a_row_wait_longer_each_time(loop):
    fakes, _ = kept(loop)
    fakes.started[0].ready()
    fakes.exit(fakes.started[0])
    for number, seconds in enumerate([*BACK_OFF_SECONDS[1:], BACK_OFF_SECONDS[-1]], 2):
        assert len(fakes.started) == number
        fakes.exit(fakes.started[-1])
        loop.pass_time(seconds - 0.01)
        assert len(fakes.started) == number
        loop.pass_time(0.02)
        assert len(fakes.started) == number + 1
    fakes.started[-1].ready()
    fakes.exit(fakes.started[-1])
    assert fakes.started[-1].state is WorkerState.STARTING  # at once again


def test_a_process_that_cannot_be_started_is_tried_again(loop, caplog):
    fakes, _ = kept(loop)
    fakes.started[0].ready()
    fakes.refusals = 2
    fakes.exit(fakes.started[0])
    loop.pass_time(BACK_OFF_SECONDS[1] + 0.01)
    loop.pass_time(BACK_OFF_SECONDS[2] + 0.01)
    assert len(fakes.started) == 2
    words = "m: no process can be started: Too many open files"
    assert [r.getMessage() for r in caplog.records].count(words) == 2


def test_a_worker_retires_after_its_calls(loop):
    fakes, _ = kept(loop, max_calls=1)
    fakes.started[0].ready()
    call = fakes.call("predict")
    fakes.started[0].answer()
    loop.turn(12)
    assert call.done()
    assert fakes.pool.slots == fakes.started[1:]
    assert fakes.started[0].dead
    assert fakes.pool.replaced == {"calls": 1}  # and its exit is not a failure
    fakes.started[1].ready()
    assert fakes.call("predict") is not None
    assert fakes.started[1].given


def test_a_worker_is_started_for_each_training(loop):
    fakes = training(loop)
    calls = [fakes.call() for _ in range(3)]
    assert [(w.number, w.gpu) for w in fakes.started] == [(0, "b"), (1, "a")]
    first, second = fakes.started
    first.ready()
    assert first.given
    first.answer()
    loop.turn(12)
    assert calls[0].done()
    assert first.dead
    assert fakes.pool.replaced == {}
    assert [(w.number, w.gpu) for w in fakes.pool.slots] == [(1, "a"), (0, "b")]
    second.ready()
    assert second.given


def test_a_worker_without_a_training_ends(loop):
    fakes = training(loop)
    call = fakes.call()
    call.cancel()
    loop.turn()
    fakes.started[0].ready()
    loop.turn(12)
    assert fakes.pool.slots == []
    assert fakes.pool.replaced == {}


def test_the_death_of_a_trainings_worker_is_counted_and_logged(loop, caplog):
    fakes = training(loop, size=1)
    call, waiting = fakes.call(), fakes.call()
    fakes.started[0].ready()
    fakes.started[0].take()
    fakes.exit(fakes.started[0])
    assert isinstance(call.exception(), WorkerDied)
    assert fakes.pool.replaced == {"died": 1}
    assert "A worker of m ended" in caplog.text
    assert not waiting.done()
    assert len(fakes.started) == 2


def test_a_training_whose_worker_does_not_start_fails_and_the_next_does_not(loop):
    fakes = training(loop, size=1)
    call, waiting = fakes.call(), fakes.call()
    fakes.exit(fakes.started[0], "OSError: the weights are gone")
    with pytest.raises(WorkerDied, match="could not start: OSError: the weights"):
        call.result()
    assert fakes.pool.replaced == {"start": 1}
    fakes.started[1].ready()
    assert fakes.started[1].given
    assert not waiting.done()


def test_a_training_without_a_process_fails(loop, caplog):
    fakes = training(loop)
    fakes.refusals = 1
    call = fakes.call()
    with pytest.raises(WorkerDied, match="no process can be started: Too many open"):
        call.result()
    assert "m: no process can be started" in caplog.text
    fakes.call()
    assert len(fakes.started) == 1


def test_places_of_trainings(loop):
    fakes = training(loop, size=1, max_queued=1)
    calls = [fakes.call() for _ in range(3)]
    assert [call.done() for call in calls] == [False, False, True]
    fakes.started[0].ready()
    assert [call.done() for call in calls] == [False, False, True]
    assert fakes.call().exception() is not None
    fakes.started[0].answer()
    loop.turn(12)
    assert not fakes.call().done()
