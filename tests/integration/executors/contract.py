"""The behaviour that every executor must have.

A new kind of executor has a class that inherits from ExecutorContract and says how one
is made:

    class TestMine(ExecutorContract):
        def make(self, ref, limits, workers):
            return my_executor(ref, limits, workers)

The model, and the files that it shares with the tests, must be visible where it runs.
"""

import asyncio
import contextlib
import json
import os
import pickle
from pathlib import Path

import pytest

from deepaas.arguments.outcome import JSONFile, Values, unpack_outcome
from deepaas.errors import (
    LEFT,
    CallTimeout,
    DeepaasError,
    ModelRaised,
    StartError,
    Unavailable,
    WorkerDied,
)
from deepaas.executors import Began, Ended, Limits, Line, WorkerState
from deepaas.model.loading import ModelRef
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.progress import Batch
from deepaas.tensors.outputs import unpack
from tests.server import MODELS

MODEL = ModelRef("m", str(MODELS / "contract.py"))
LONG_TIME = 60.0
BOUND = 30.0
"""Seconds within which everything must have happened."""

BATCHES = """
def predict_batch(calls):
    return [[call["n"], len(calls)] for call in calls]
"""

NUMBERS = """
from webargs import fields
def get_predict_args():
    return {"numbers": fields.List(fields.Float(), required=True)}
def predict(numbers):
    return [len(numbers), sum(numbers)]
"""


class Made:
    """An executor, and what it said."""

    def __init__(self, executor, folder):
        self.executor = executor
        self.ran = folder / "ran"
        self.ends = []
        self.printed = []
        executor.listen(self.ends.append, self.printed.append)

    def call(self, method="predict", *, n=0, **options):
        """Begin a call; what is not an option of the executor goes to the model."""
        names = ("media_type", "timeout", "finish", "label", "reports", "on_event")
        chosen = {name: options.pop(name) for name in names if name in options}
        kwargs = {"n": n, "ran": str(self.ran), **options}
        return asyncio.ensure_future(self.executor.call(method, kwargs, **chosen))

    async def call_packed(self, path):
        """Call with arguments that are in a file."""
        return await self.executor.call("predict", path)

    async def answer(self, *args, **options):
        return await asyncio.wait_for(self.call(*args, **options), BOUND)

    def numbers(self):
        """Return the calls that the model has begun, in order."""
        return (
            [int(n) for n in self.ran.read_text().split()] if self.ran.exists() else []
        )

    async def until(self, condition):
        async def poll():
            while not condition():  # noqa: ASYNC110 - the model sets no event
                await asyncio.sleep(0.005)

        await asyncio.wait_for(poll(), BOUND)

    async def until_begun(self, *numbers):
        await self.until(lambda: set(numbers) <= set(self.numbers()))


def n_of(reply):
    return json.loads(reply.body)["n"]


async def content(reply):
    """Return the bytes of a reply in any form, and remove its file."""
    forms = (reply.body, reply.path, reply.stream)
    assert sum(form is not None for form in forms) == 1
    if reply.stream is not None:
        return b"".join([piece async for piece in reply.stream])
    if reply.path is not None:
        data = await asyncio.to_thread(Path(reply.path).read_bytes)
        if reply.delete:
            os.unlink(reply.path)
        return data
    return bytes(reply.body)


class ExecutorContract:
    """The suite; each test is run on an executor of its own."""

    isolated = True
    """The model runs in a process that can be ended in the middle of a call, and whose
    output is read. An executor without such processes says False."""

    def make(self, ref, limits, workers):
        """Return an executor that is not started, with so many workers."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.tmp_path = tmp_path
        self.gate = tmp_path / "gate"

    @contextlib.asynccontextmanager
    async def started(self, workers=1, ref=MODEL, **limits):
        made = Made(self.make(ref, Limits(**limits), workers), self.tmp_path)
        await asyncio.wait_for(made.executor.start(), BOUND)
        try:
            yield made
        finally:
            await asyncio.wait_for(made.executor.close(0), BOUND)

    @pytest.fixture
    def isolation(self):
        if not self.isolated:
            pytest.skip("the model has no process of its own")

    def run(self, scenario, **options):
        async def within():
            async with self.started(**options) as made:
                await scenario(made)

        asyncio.run(within())

    # -- answers

    def test_each_call_has_its_own_answer(self):
        async def scenario(made):
            found = await asyncio.gather(*(made.answer(n=n) for n in range(50)))
            assert [n_of(reply) for reply in found] == list(range(50))
            assert sorted(made.numbers()) == list(range(50))

        self.run(scenario, workers=2)

    def test_calls_run_in_the_order_of_their_coming(self):
        async def scenario(made):
            await asyncio.gather(*(made.answer(n=n) for n in range(50)))
            assert made.numbers() == list(range(50))

        self.run(scenario)

    def test_a_training(self):
        async def scenario(made):
            assert n_of(await made.answer("train", n=3)) == 3

        self.run(scenario)

    @pytest.mark.parametrize("size", [0, 5, 3_000_000])
    def test_an_upload_and_a_file(self, size):
        async def scenario(made):
            upload = self.tmp_path / "upload.nii.gz"
            upload.write_bytes(b"u" * size)
            file = UploadedFile("file", str(upload), "x/y", "upload.nii.gz")
            reply = await made.answer(what="read", file=file, media_type="*/*")
            assert await content(reply) == b"u" * size
            options = {"folder": str(self.tmp_path), "size": size}
            reply = await made.answer(what="write", n=7, media_type="*/*", **options)
            assert await content(reply) == bytes([7]) * size
            assert reply.filename == "answer.bin"

        self.run(scenario)

    def test_what_the_model_raises(self):
        async def scenario(made):
            with pytest.raises(ModelRaised, match="ValueError: 3 is bad") as caught:
                await made.answer(what="fail", n=3)
            assert caught.value.status == 500
            assert "in fail" in caught.value.traceback
            with pytest.raises(ModelRaised, match=r"^it is taken$") as caught:
                await made.answer(what="refuse")
            assert caught.value.status == 409
            assert n_of(await made.answer(n=4)) == 4

        self.run(scenario)

    def test_an_argument_that_cannot_be_sent(self):
        async def scenario(made):
            with pytest.raises(ModelRaised, match="cannot be sent"):
                await made.answer(n=lambda: 1)
            assert n_of(await made.answer(n=4)) == 4

        self.run(scenario)

    def test_outputs_as_tensors(self):
        async def scenario(made):
            reply = await made.executor.call("predict", {"n": 3}, tensors="bytes")
            outputs = {each.name: each for each in unpack(reply.body).items}
            assert outputs["n"].datatype.name == "INT64"
            assert bytes(outputs["n"].data) == (3).to_bytes(8, "little")
            failing = {"n": 3, "what": "fail"}
            with pytest.raises(ModelRaised, match="3 is bad"):
                await made.executor.call("predict", failing, tensors="bytes")

        self.run(scenario)

    def test_calls_that_come_together_are_one_batch(self, isolation):
        async def scenario(made):
            rows = [({"n": n}, None, ()) for n in range(4)]
            together = made.executor.call_together(rows)
            answers = await asyncio.wait_for(together, BOUND)
            found = [json.loads(reply.body) for reply in answers]
            assert found == [[n, 4] for n in range(4)]

        self.run(scenario, ref=self.write_model("batches", BATCHES))

    # -- arguments in files

    def test_a_body_in_a_file(self, isolation):
        async def scenario(made):
            count = 400_000
            body = json.dumps({"numbers": [0.5] * count, "other": 1})
            loaded, outcome = await self.load(made, body)
            assert outcome.ignored == "other"
            reply = await asyncio.wait_for(made.call_packed(loaded), BOUND)
            assert json.loads(reply.body) == [count, count / 2]
            assert loaded.stat().st_size > 2**20
            loaded, outcome = await self.load(made, json.dumps({"numbers": [1, "x"]}))
            assert outcome.status == 422
            assert "Not a valid number" in outcome.messages
            with pytest.raises(DeepaasError):
                await self.load(made, '{"numbers": []}', missing=True)
            loaded, _ = await self.load(made, '{"numbers": []}')
            reply = await asyncio.wait_for(made.call_packed(loaded), BOUND)
            assert json.loads(reply.body) == [0, 0]

        self.run(scenario, ref=self.write_model("numbers", NUMBERS))

    def test_arguments_in_a_file_that_is_gone(self, isolation):
        async def scenario(made):
            gone = self.tmp_path / "gone"
            with pytest.raises(DeepaasError):
                await asyncio.wait_for(made.call_packed(gone), BOUND)
            there = self.tmp_path / "there"
            there.write_bytes(pickle.dumps({"n": 4}))
            assert n_of(await asyncio.wait_for(made.call_packed(there), BOUND)) == 4

        self.run(scenario)

    async def load(self, made, text, *, missing=False):
        """Have a body loaded; return the file of the arguments, and the outcome."""
        body, loaded = self.tmp_path / "body", self.tmp_path / "loaded"
        body.write_text(text)
        loaded.touch()
        if missing:
            loaded.unlink()
        file = JSONFile(str(body), "utf-8", str(loaded), (), False)
        asked = {"method": "predict", "given": Values({}, file=file), "shows": False}
        packed = await asyncio.wait_for(made.executor.load(asked), BOUND)
        return loaded, unpack_outcome(packed)

    def write_model(self, name, text):
        path = self.tmp_path / f"{name}.py"
        path.write_text(text)
        return ModelRef(name, str(path))

    # -- streams

    def test_a_stream(self):
        async def scenario(made):
            reply = await made.answer(what="items", n=3)
            assert reply.media_type == "application/x-ndjson"
            assert await content(reply) == b"0\n1\n2\n"
            await made.until(lambda: made.ends)
            assert n_of(await made.answer(n=4)) == 4

        self.run(scenario)

    def test_the_first_pieces_come_while_the_model_works_on_the_last(self):
        async def scenario(made):
            reply = await made.answer(what="items", n=2, gate_of_last=str(self.gate))
            first = await asyncio.wait_for(anext(reply.stream), BOUND)
            assert first == b"0\n"
            assert made.ends == []
            self.gate.touch()
            assert await content(reply) == b"1\n"

        self.run(scenario)

    def test_a_stream_that_breaks_off(self):
        async def scenario(made):
            reply = await made.answer(what="items", n=2, breaks=True)
            pieces = b""
            while pieces != b"0\n1\n":
                pieces += await asyncio.wait_for(anext(reply.stream), BOUND)
            with pytest.raises(ModelRaised, match="ValueError: broken"):
                await asyncio.wait_for(anext(reply.stream), BOUND)

        self.run(scenario)

    @pytest.mark.parametrize("finish", [False, True])
    def test_a_reader_who_leaves(self, isolation, finish):
        async def scenario(made):
            call = made.answer(
                what="items", n=2, gate_of_last=str(self.gate), finish=finish
            )
            reply = await call
            assert await anext(reply.stream) == b"0\n"
            await asyncio.wait_for(reply.stream.aclose(), BOUND)
            assert n_of(await made.answer(n=4)) == 4
            assert not self.gate.exists()

        self.run(scenario)

    # -- what ends calls

    @pytest.mark.parametrize(
        ("how", "words"), [("die", "SIGKILL"), ("leave", "exit code 7")]
    )
    def test_a_death_costs_the_call_that_runs(self, isolation, how, words):
        async def scenario(made):
            dying = made.call(what=how, n=1, gate=str(self.gate))
            await made.until_begun(1)
            others = [made.call(n=n) for n in range(2, 12)]
            await asyncio.sleep(0)
            self.gate.touch()
            with pytest.raises(WorkerDied, match=words):
                await asyncio.wait_for(dying, BOUND)
            for n, call in enumerate(others, 2):
                assert n_of(await asyncio.wait_for(call, BOUND)) == n
            assert made.numbers() == list(range(1, 12))  # and none was run twice
            assert sum(made.executor.status().replaced.values()) == 1

        self.run(scenario)

    def test_a_time_out(self, isolation):
        async def scenario(made):
            late = made.call(n=1, gate=str(self.gate), timeout=0.5)
            waiting = made.call(n=2, timeout=LONG_TIME)
            with pytest.raises(CallTimeout, match=r"longer than 0\.5 s"):
                await asyncio.wait_for(late, BOUND)
            assert n_of(await asyncio.wait_for(waiting, BOUND)) == 2
            assert made.ends[0].status == 504

        self.run(scenario)

    def test_a_caller_leaves_a_call_that_waits(self):
        async def scenario(made):
            first = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            left, last = made.call(n=2), made.call(n=3)
            await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left], timeout=BOUND)
            assert left.cancelled()
            assert made.ends[0].status == LEFT
            self.gate.touch()
            await asyncio.wait_for(asyncio.gather(first, last), BOUND)
            assert made.numbers() == [1, 3]

        self.run(scenario)

    def test_a_caller_leaves_a_call_that_runs(self, isolation):
        async def scenario(made):
            left = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            left.cancel()
            await asyncio.wait([left], timeout=BOUND)
            assert left.cancelled()
            assert n_of(await made.answer(n=2)) == 2
            assert not self.gate.exists()

        self.run(scenario)

    def test_a_call_that_may_finish(self):
        async def scenario(made):
            pid = json.loads((await made.answer()).body)["pid"]
            left = made.call(n=1, gate=str(self.gate), finish=True)
            await made.until_begun(1)
            left.cancel()
            await asyncio.sleep(0.01)
            assert not left.done()
            self.gate.touch()
            await asyncio.wait([left], timeout=BOUND)
            assert left.cancelled()
            assert json.loads((await made.answer()).body)["pid"] == pid

        self.run(scenario)

    # -- who waits

    def test_too_many_wait(self):
        async def scenario(made):
            calls = [made.call(n=n, gate=str(self.gate)) for n in range(3)]
            await made.until_begun(0)
            with pytest.raises(Unavailable) as caught:
                await made.answer(n=9)
            assert caught.value.headers["Retry-After"]
            assert caught.value.status == 503
            self.gate.touch()
            await asyncio.wait_for(asyncio.gather(*calls), BOUND)
            assert made.numbers() == [0, 1, 2]
            assert n_of(await made.answer(n=4)) == 4

        self.run(scenario, max_queued=2)

    def test_a_place_is_kept_for_a_call_that_is_to_come(self):
        async def scenario(made):
            running = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            with made.executor.admit("predict"):
                with pytest.raises(Unavailable):
                    made.executor.admit("predict")
                with pytest.raises(Unavailable):
                    await made.answer(n=9)
            waiting = made.call(n=2)
            self.gate.touch()
            await asyncio.wait_for(asyncio.gather(running, waiting), BOUND)

        self.run(scenario, max_queued=1)

    def test_trainings_leave_a_worker_for_predictions(self):
        async def scenario(made):
            trainings = [made.call("train", n=n, gate=str(self.gate)) for n in range(3)]
            await made.until_begun(0)
            for n in range(10, 20):
                assert n_of(await made.answer(n=n)) == n
            self.gate.touch()
            done = await asyncio.wait_for(asyncio.gather(*trainings), BOUND)
            assert [n_of(reply) for reply in done] == [0, 1, 2]

        self.run(scenario, workers=2)

    # -- what it tells

    def test_the_events_of_a_call(self):
        async def scenario(made):
            events = []
            await made.answer(n=3, on_event=events.append)
            assert isinstance(events[0], Began)
            assert isinstance(events[-1], Ended)
            assert events[-1].method == "predict"
            assert events[-1].status == 200
            assert events[-1].ran >= 0
            assert [end.status for end in made.ends] == [200]

        self.run(scenario)

    def test_what_a_job_reports(self):
        async def scenario(made):
            events = []
            options = {"reports": True, "on_event": events.append}
            await made.answer("train", steps=5, **options)
            batches = [event for event in events if isinstance(event, Batch)]
            assert batches[-1].latest.step == 5
            assert batches[-1].latest.metrics == {"loss": 1.0}
            await made.answer("train", steps=5, on_event=events.append)
            assert batches == [event for event in events if isinstance(event, Batch)]

        self.run(scenario)

    def test_lines_in_a_call_and_outside_of_one_reach_one_listener(self, isolation):
        async def scenario(made):
            events = []
            await made.answer(what="say", n=3, label="mine", on_event=events.append)
            assert Line("said 3") in events
            lines = {line: each for each in made.printed for line in each.lines}
            assert lines["loading"].label == lines["warming"].label == ""
            assert lines["said 3"].label == "mine"
            [worker] = made.executor.status().workers
            for each in lines.values():
                assert each.model == "m"
                assert (each.host, each.pid) == (worker.host, worker.pid)

        self.run(scenario)

    def test_the_status(self):
        async def scenario(made):
            status = made.executor.status()
            assert status.ready
            [worker] = status.workers
            assert worker.state is WorkerState.IDLE
            assert worker.calls == 0
            call = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            waiting = made.call(n=2)
            await asyncio.sleep(0)
            status = made.executor.status()
            assert status.workers[0].state is WorkerState.BUSY
            assert status.running == {"predict": 1}
            assert status.waiting == {"predict": 1}
            self.gate.touch()
            await asyncio.wait_for(asyncio.gather(call, waiting), BOUND)
            status = await made.executor.measure()
            assert status.workers[0].calls == 2
            assert status.workers[0].memory > 2**20
            assert status.workers[0].host
            assert status.running == status.waiting == status.replaced == {}

        self.run(scenario)

    # -- start and stop

    def test_a_model_that_does_not_load(self, monkeypatch):
        monkeypatch.setenv("LOADING_FAILS", "1")

        async def scenario():
            executor = self.make(MODEL, Limits(), 1)
            with pytest.raises(StartError, match="OSError: the weights are gone"):
                await asyncio.wait_for(executor.start(), BOUND)
            with pytest.raises(Unavailable):
                await executor.call("predict", {})

        asyncio.run(scenario())

    def test_a_stop_lets_what_runs_end(self):
        async def scenario(made):
            running = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            waiting = made.call(n=2)
            await asyncio.sleep(0)
            closing = asyncio.create_task(made.executor.close(LONG_TIME))
            with pytest.raises(Unavailable, match="stopping"):
                await asyncio.wait_for(waiting, BOUND)
            with pytest.raises(Unavailable, match="stopping"):
                await made.answer(n=3)
            with pytest.raises(Unavailable, match="stopping"):
                made.executor.admit("predict")
            self.gate.touch()
            assert n_of(await asyncio.wait_for(running, BOUND)) == 1
            await asyncio.wait_for(closing, BOUND)
            assert made.numbers() == [1]

        self.run(scenario)

    def test_a_stop_without_grace(self, isolation):
        async def scenario(made):
            running = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            await asyncio.wait_for(made.executor.close(0), BOUND)
            with pytest.raises(Unavailable, match="stopping"):
                await asyncio.wait_for(running, BOUND)

        self.run(scenario)

    def test_a_stop_while_another_one_waits(self, isolation):
        async def scenario(made):
            running = made.call(n=1, gate=str(self.gate))
            await made.until_begun(1)
            waiting = asyncio.create_task(made.executor.close(LONG_TIME))
            await asyncio.sleep(0)
            await asyncio.wait_for(made.executor.close(0), BOUND)
            await asyncio.wait_for(waiting, BOUND)
            assert isinstance(running.exception(), Unavailable)

        self.run(scenario)
