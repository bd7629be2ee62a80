"""The executor by its public methods, with real processes."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import signal
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from deepaas.errors import (
    CallTimeout,
    ModelRaised,
    StartError,
    Unavailable,
    WorkerDied,
)
from deepaas.executors import Ended, Limits, Local, WorkerState, create_executor
from deepaas.executors.messages import Envelope
from deepaas.model.loading import ModelRef
from tests.integration.executors.contract import ExecutorContract
from tests.server import MODELS

REF = ModelRef("m", str(MODELS / "trainable.py"))
GATED = ModelRef("m", str(MODELS / "gated.py"))
RETURNS = ModelRef("m", str(MODELS / "returns.py"))
ENVIRONMENT = ModelRef("m", str(MODELS / "environment.py"))
LONG_TIME = 60.0
BOUND = 45.0
"""Seconds within which everything must have happened; less than LONG_TIME."""


@contextlib.asynccontextmanager
async def executor(ref=REF, limits=None, **where):
    made = create_executor(ref, Local(**where), limits, envelope=Envelope.NONE)
    await made.start()
    try:
        yield made
    finally:
        await asyncio.wait_for(made.close(0), BOUND)


async def until(condition):
    async def poll():
        while not condition():  # noqa: ASYNC110 - a worker's state sets no event
            await asyncio.sleep(0.01)

    await asyncio.wait_for(poll(), BOUND)


def busy(made):
    return [w for w in made.status().workers if w.state is WorkerState.BUSY]


class TestLocal(ExecutorContract):
    """Worker processes of this machine, which trainings share."""

    def make(self, ref, limits, workers):
        return create_executor(ref, Local(workers), limits, envelope=Envelope.NONE)


class TestLocalWithTrainWorkers(ExecutorContract):
    """Worker processes of this machine, and others for trainings."""

    def make(self, ref, limits, workers):
        where = Local(workers, train_workers=1)
        return create_executor(ref, where, limits, envelope=Envelope.NONE)


async def test_trainings_never_take_the_last_of_several_workers():
    async with executor(workers=2) as made:
        trainings = [
            asyncio.create_task(made.call("train", {"seconds": 0.5})) for _ in range(3)
        ]
        await until(lambda: len(busy(made)) == 1)
        trainer = busy(made)[0].pid
        for n in range(10):
            reply = await asyncio.wait_for(made.call("predict", {"n": n}), BOUND)
            assert json.loads(reply.body)["n"] == n
        done = await asyncio.wait_for(asyncio.gather(*trainings), BOUND)
        assert {int(reply.body) for reply in done} >= {trainer}


async def test_trainings_in_workers_of_their_own():
    async with executor(workers=1, train_workers=2) as made:
        [shared] = made.status().workers
        trainings = [
            asyncio.create_task(made.call("train", {"seconds": 0.3})) for _ in range(5)
        ]
        for n in range(5):
            reply = await asyncio.wait_for(made.call("predict", {"n": n}), BOUND)
            assert json.loads(reply.body) == {"n": n, "pid": shared.pid}
        done = await asyncio.wait_for(asyncio.gather(*trainings), BOUND)
        pids = {int(reply.body) for reply in done}
        assert len(pids) == 5  # each in a process of its own
        assert shared.pid not in pids


async def test_a_training_of_its_own_is_cancelled(tmp_path):
    async with executor(train_workers=1) as made:
        mark = tmp_path / "mark"
        arguments = {"seconds": LONG_TIME, "mark": str(mark)}
        first = asyncio.create_task(made.call("train", arguments))
        waiting = asyncio.create_task(made.call("train", {}))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        last = asyncio.create_task(made.call("train", {}))
        await until(mark.exists)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert (await asyncio.wait_for(last, BOUND)).body


async def test_a_single_worker_trains_too():
    async with executor(workers=1) as made:
        reply = await asyncio.wait_for(made.call("train", {}), BOUND)
        assert int(reply.body) == made.status().workers[0].pid


async def test_a_call_that_is_cancelled_but_may_finish():
    async with executor() as made:
        pid = made.status().workers[0].pid
        call = asyncio.create_task(made.call("predict", {"seconds": 2.0}, finish=True))
        await until(lambda: busy(made))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert made.status().workers[0].pid == pid
        assert not busy(made)


async def test_an_argument_that_cannot_be_sent():
    async with executor() as made:
        with pytest.raises(ModelRaised, match="cannot be sent"):
            await made.call("predict", {"n": lambda: 1})
        assert await made.call("predict", {"n": 1})


@pytest.fixture
def gates(tmp_path, monkeypatch):
    """A folder for the files that `gated.py` waits for; it may warm."""
    monkeypatch.setenv("GATES", str(tmp_path))
    (tmp_path / "warm").touch()
    return tmp_path


async def kill_an_idle_one(made):
    """Kill an idle worker, and return when the executor has noticed it."""
    idle = next(w for w in made.status().workers if w.state is WorkerState.IDLE)
    os.kill(idle.pid, signal.SIGKILL)
    await until(
        lambda: (
            (idle.pid, WorkerState.IDLE)
            not in [(w.pid, w.state) for w in made.status().workers]
        )
    )


async def test_a_training_waits_while_the_other_worker_is_replaced(gates):
    async with executor(GATED, workers=2) as made:
        (gates / "warm").unlink()
        await kill_an_idle_one(made)
        [warm] = [w.pid for w in made.status().workers if w.ready]
        training = asyncio.create_task(made.call("train", {}))
        reply = await asyncio.wait_for(made.call("predict", {}), BOUND)
        assert int(reply.body) == warm
        assert made.status().waiting == {"train": 1}
        (gates / "warm").touch()
        await until((gates / "training").exists)
        assert await asyncio.wait_for(made.call("predict", {}), BOUND)
        (gates / "trained").touch()
        assert await asyncio.wait_for(training, BOUND)


async def test_no_prediction_waits_for_what_cannot_warm_while_the_other_trains(gates):
    async with executor(GATED, workers=2) as made:
        training = asyncio.create_task(made.call("train", {}))
        await until((gates / "training").exists)
        (gates / "lost").touch()
        await kill_an_idle_one(made)
        with pytest.raises(Unavailable, match="the weights are gone"):
            await asyncio.wait_for(made.call("predict", {}), BOUND)
        assert made.status().running == {"train": 1}
        (gates / "trained").touch()
        trainer = (await asyncio.wait_for(training, BOUND)).body
        reply = await asyncio.wait_for(made.call("predict", {}), BOUND)
        assert reply.body == trainer


async def test_a_replacement_is_started_as_the_first_worker_was(monkeypatch, tmp_path):
    """A change of the server's own environment and folder has no effect."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "first")
    async with executor(ENVIRONMENT) as made:
        [before] = made.status().workers
        folder = os.readlink(f"/proc/{before.pid}/cwd")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "second")
        monkeypatch.chdir(tmp_path)
        await kill_an_idle_one(made)
        call = made.call("predict", {"mib": 0, "n": 1})
        reply = json.loads((await asyncio.wait_for(call, BOUND)).body)
        assert reply["gpu"] == "first"
        assert reply["pid"] != before.pid
        assert os.readlink(f"/proc/{reply['pid']}/cwd") == folder


@contextlib.contextmanager
def free_descriptors(count):
    """Let this process open no more than so many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = (n for n in itertools.count() if not Path(f"/proc/self/fd/{n}").exists())
    limit = next(itertools.islice(free, count, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("count", range(8))
def test_a_start_without_enough_descriptors_leaves_none(count):
    """A worker takes a pair of sockets, two pipes, and what starts a process."""
    before = sorted(os.listdir("/proc/self/fd"))
    with (
        free_descriptors(count),
        pytest.raises(StartError, match="no process can be started: Too many open"),
    ):
        create_executor(REF).launch()
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_a_training_without_descriptors_fails_and_the_next_does_not():
    async with executor(train_workers=1) as made:
        await made.call("predict", {})
        with (
            free_descriptors(0),
            pytest.raises(WorkerDied, match="could not start: no process can be"),
        ):
            await asyncio.wait_for(made.call("train", {}), BOUND)
        assert await asyncio.wait_for(made.call("train", {}), BOUND)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder in which workers put the files that they answer with."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


FILE = {"what": "large kept", "accept": "*/*"}
"""Arguments for which the answer is a file that the caller is to delete."""


@pytest.mark.parametrize("finish", [True, False])
@pytest.mark.parametrize("turns", range(6))
async def test_a_caller_who_leaves_as_the_answer_comes(temporary, finish, turns):
    """After so many turns of the event loop, amid what the answer sets off."""

    async with executor(RETURNS) as made:
        [worker] = made.status().workers
        loop = asyncio.get_running_loop()

        def leave(left):
            if left:
                loop.call_soon(leave, left - 1)
            else:
                call.cancel()

        def hear(event):
            if isinstance(event, Ended):
                leave(turns)

        call = asyncio.create_task(
            made.call("predict", FILE, finish=finish, on_event=hear)
        )
        with contextlib.suppress(asyncio.CancelledError):
            os.unlink((await asyncio.wait_for(call, BOUND)).path)
        assert list(temporary.iterdir()) == []
        reply = await asyncio.wait_for(made.call("predict", FILE), BOUND)
        os.unlink(reply.path)
        assert [w.pid for w in made.status().workers] == [worker.pid]


async def test_many_callers_who_leave_at_any_moment(temporary):
    chance = random.Random(61)

    async with executor(RETURNS, workers=2) as made:
        pids = {w.pid for w in made.status().workers}

        async def ask(patience):
            call = made.call("predict", FILE, finish=True)
            with contextlib.suppress(asyncio.TimeoutError):
                reply = await asyncio.wait_for(call, patience)
                os.unlink(reply.path)

        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(ask(BOUND) for _ in range(10)))
        longest = 2 * (loop.time() - began)
        for _ in range(30):
            calls = (ask(chance.uniform(0, longest)) for _ in range(10))
            await asyncio.wait_for(asyncio.gather(*calls), BOUND)
        assert {w.pid for w in made.status().workers} == pids
        assert made.status().waiting == made.status().running == {}
        assert list(temporary.iterdir()) == []
        await ask(BOUND)
    assert not any(map(psutil.pid_exists, pids))
    assert list(temporary.iterdir()) == []


class Executors(RuleBasedStateMachine):
    """Each call ends as it should after any events in any order."""

    @initialize(workers=st.integers(1, 2))
    def start(self, workers):
        self.loop = asyncio.new_event_loop()
        self.made = create_executor(
            REF, Local(workers), Limits(max_queued=30), envelope=Envelope.NONE
        )
        self.run(self.made.start())
        self.calls = []
        self.number = 0
        for _ in range(4):  # until the workers are known to be quick
            self.call_at_once()
            self.wait_for_all()

    def run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, BOUND))

    def begin(self, **options):
        self.number += 1
        n, timeout = self.number, options.pop("timeout", None)
        call = self.made.call("predict", {"n": n, **options}, timeout=timeout)
        self.calls.append((n, self.loop.create_task(call)))

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.05]), fail=st.booleans())
    def call(self, seconds, fail):
        self.begin(seconds=seconds, fail=fail)
        self.run(asyncio.sleep(0))

    @rule()
    def call_at_once(self):
        for _ in range(15):
            self.begin()

    @rule()
    def call_that_times_out(self):
        self.begin(seconds=LONG_TIME, timeout=0.05)
        self.run(asyncio.sleep(0))

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def cancel(self, data):
        _, task = data.draw(st.sampled_from(self.calls))
        task.cancel()
        self.run(asyncio.wait([task]))

    @rule(data=st.data())
    def kill_a_worker(self, data):
        worker = data.draw(st.sampled_from(self.made.status().workers))
        if worker.state is not WorkerState.DEAD:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    @rule()
    def wait_for_all(self):
        for n, task in self.calls:
            self.run(asyncio.wait([task]))
            check(n, task)
        self.calls.clear()

    def teardown(self):
        if not hasattr(self, "loop"):
            return
        self.wait_for_all()
        self.begin()
        self.run(asyncio.wait([self.calls[0][1]]))
        pids = [worker.pid for worker in self.made.status().workers]
        self.run(self.made.close(0))
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        with pytest.raises(Unavailable):
            self.run(self.made.call("predict", {}))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


def check(n, task):
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        assert json.loads(task.result().body)["n"] == n
    elif isinstance(error, ModelRaised):
        assert str(error) == f"ValueError: {n}"
    else:
        assert isinstance(error, WorkerDied | CallTimeout | Unavailable)


TestExecutors = Executors.TestCase
TestExecutors.settings = settings(
    max_examples=15,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os\nos._exit(3)", "does not load: a worker died: exit code 3"),
        ("import os\nos.abort()", "does not load: a worker died: SIGABRT"),
        ("import sys\nsys.exit('no')", r"does not load: SystemExit: no \(.*line 2\)"),
        ("import sys\nsys.exit(4)", r"does not load: SystemExit: 4 \(.*line 2\)"),
        ("1 / 0", r"does not load: ZeroDivisionError: .* \(.*net.py, line 1\)"),
        ("import os\ndef warm(): os._exit(3)", "warm: a worker died: exit code 3"),
        ("def warm(): raise OSError('no')", r"warm: OSError: no \(.*net.py, line 1\)"),
        ("def warm():\n    exit()", r"warm: SystemExit: None \(.*net.py, line 2\)"),
    ],
)
async def test_a_start_that_fails(tmp_path, source, words):
    """The message says what failed, the code or signal, and the place."""
    (tmp_path / "net.py").write_text(f"{source}\ndef predict(): pass\n")
    ref = ModelRef("m", str(tmp_path / "net.py"))
    made = create_executor(ref, Local(), envelope=Envelope.NONE)
    with pytest.raises(StartError, match=words):
        await asyncio.wait_for(made.start(), BOUND)
    await made.close(0)
