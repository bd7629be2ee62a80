"""Prefetched calls: each is run once and answered, or reclaimed."""

import asyncio
import collections
import contextlib
import json
import logging
import os
import re
import signal
import time

import pytest

from deepaas.errors import CallTimeout, Unavailable, WorkerDied
from deepaas.executors import Began, Ended, Limits, WorkerState
from deepaas.executors.stream import MAX_UNREAD_BYTES
from deepaas.model.loading import ModelRef
from tests.integration.executors.test_local import (
    BOUND,
    LONG_TIME,
    MODELS,
    executor,
    until,
)

QUICK = ModelRef("m", str(MODELS / "quick.py"))
MANY = 12
"""Calls at once: the first is given to the worker, the others when it has answered."""


class Model:
    """Calls the model, and knows which calls it has run."""

    def __init__(self, made, folder):
        self.made = made
        self.ran = folder / "ran"
        self.gate = folder / "gate"

    def call(self, n, **arguments):
        return asyncio.create_task(self.coroutine(n, **arguments))

    def coroutine(self, n, *, finish=True, **arguments):
        names = ("timeout", "on_event", "reports")
        options = {name: arguments.pop(name, None) for name in names}
        kwargs = {"n": n, "ran": str(self.ran), **arguments}
        return self.made.call(
            "predict", kwargs, finish=finish, label=f"c{n}", **options
        )

    def numbers(self):
        """Return the calls that have begun, in order."""
        return [int(n) for n in self.ran.read_text().split()]

    def pids(self):
        return [worker.pid for worker in self.made.status().workers]


@contextlib.asynccontextmanager
async def quick(folder, **options):
    """Start a model, and call it until its workers are known to be quick."""
    async with executor(QUICK, **options) as made:
        for _ in range(6):
            some = (made.call("predict", {"n": 0}, finish=True) for _ in range(15))
            await asyncio.wait_for(asyncio.gather(*some), BOUND)
        yield Model(made, folder)


async def answers(*calls):
    """Return what the calls have answered, and what they have raised."""
    return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), BOUND)


async def read(stream):
    return b"".join([piece async for piece in stream])


def after(kind, act, *arguments):
    """Return a listener: after such an event, the loop does this next."""

    def hear(event):
        if isinstance(event, kind):
            asyncio.get_running_loop().call_soon(act, *arguments)

    return hear


def wait_for_numbers(model, numbers, seconds=BOUND):
    """Hold up the loop until the worker has begun these calls; tell whether it has."""
    end = time.monotonic() + seconds
    while not (model.ran.exists() and model.numbers() == numbers):
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def given(reply):
    return json.loads(reply.body)["n"]


async def test_a_worker_has_calls_ahead(tmp_path):
    async with quick(tmp_path) as model:
        counts = []

        def count(event):
            if isinstance(event, Began):
                counts.append(model.made.status())

        calls = [model.call(n, on_event=count) for n in range(MANY)]
        assert [given(r) for r in await answers(*calls)] == list(range(MANY))
        assert model.numbers() == list(range(MANY))
        assert len(counts) == MANY
        # They are not running, though it has them.
        assert all(status.running == {"predict": 1} for status in counts)
        assert counts[1].waiting == {"predict": MANY - 2}
        assert model.made.status().waiting == model.made.status().running == {}


async def test_a_death_costs_the_call_in_flight_only(tmp_path):
    async with quick(tmp_path) as model:
        before = model.pids()
        for n in (1, 3, MANY - 1):
            model.ran.unlink(missing_ok=True)
            calls = [model.call(i, dies=i == n) for i in range(MANY)]
            found = await answers(*calls)
            assert isinstance(found.pop(n), WorkerDied)
            others = [i for i in range(MANY) if i != n]
            assert [given(reply) for reply in found] == others
            assert model.numbers() == list(range(MANY))
            assert model.pids() != before


async def test_what_a_dead_worker_has_answered_is_heard(tmp_path):
    """Also if the server finds it dead by giving it more, before it has read all."""

    async with quick(tmp_path) as model:
        calls = [model.call(0, on_event=after(Ended, time.sleep, 0.3))]
        calls += [model.call(n, size=25_000) for n in range(1, 7)]
        calls += [model.call(7, dies=True)]
        calls += [model.call(n) for n in range(8, 40)]
        found = await answers(*calls)
        assert isinstance(found.pop(7), WorkerDied)
        assert [given(r) for r in found] == [n for n in range(40) if n != 7]
        assert model.numbers() == list(range(40))


async def test_a_caller_who_leaves_frees_the_place(tmp_path):
    async with quick(tmp_path) as model:
        leaving = []

        def leave():
            for n in leaving:
                calls[n].cancel()

        for wait in (False, True):  # taken back by now, or not
            model.ran.unlink(missing_ok=True)
            model.gate.unlink(missing_ok=True)
            leaving[:] = [] if wait else [2, 5, MANY - 1]
            calls = [
                model.call(0),
                model.call(1, gate=str(model.gate), on_event=after(Began, leave)),
                *(model.call(n) for n in range(2, MANY)),
            ]
            await until(lambda: model.ran.exists() and model.numbers() == [0, 1])
            if wait:
                leaving[:] = [2, 5, MANY - 1]
                leave()
            gone = [calls[n] for n in leaving]
            await asyncio.wait_for(asyncio.wait(gone), BOUND)
            assert all(call.cancelled() for call in gone)
            assert model.made.status().waiting == {"predict": MANY - 5}
            model.gate.touch()
            await answers(*calls)
            assert model.numbers() == [n for n in range(MANY) if n not in leaving]


async def test_no_call_waits_behind_a_slow_one_while_a_worker_is_idle(tmp_path):
    async with quick(tmp_path, workers=2) as model:
        slow = {2: str(model.gate)}
        calls = [model.call(n, gate=slow.get(n)) for n in range(40)]
        others = [call for n, call in enumerate(calls) if n != 2]
        await asyncio.wait_for(asyncio.wait(others), BOUND)
        assert not calls[2].done()
        model.gate.touch()
        found = await answers(*calls)
        assert [given(reply) for reply in found] == list(range(40))
        assert sorted(model.numbers()) == list(range(40))


@pytest.mark.parametrize("timeout", [0.003, 0.3])
async def test_a_time_out_is_that_of_the_slow_call(tmp_path, timeout):
    async with quick(tmp_path) as model:
        slow = {1: {"gate": str(model.gate), "timeout": timeout}}
        calls = [model.call(n, **slow.get(n, {})) for n in range(MANY)]
        found = await answers(*calls)
        assert isinstance(found.pop(1), CallTimeout)
        others = [n for n in range(MANY) if n != 1]
        assert [given(r) for r in found] == others
        # The worker may not have got to the slow one in its time.
        assert model.numbers() in (list(range(MANY)), others)


async def test_a_worker_that_is_held_up_goes_on(tmp_path):
    """It has not even begun the first of its calls when they are taken back."""

    async with quick(tmp_path) as model:
        [pid] = model.pids()
        loop = asyncio.get_running_loop()

        def stop(event):
            if isinstance(event, Ended):
                os.kill(pid, signal.SIGSTOP)
                loop.call_later(0.1, os.kill, pid, signal.SIGCONT)

        events = []
        calls = [model.call(0, on_event=stop)]
        calls += [model.call(n, on_event=events.append) for n in range(1, MANY)]
        assert [given(r) for r in await answers(*calls)] == list(range(MANY))
        assert model.numbers() == list(range(MANY))
        assert model.pids() == [pid]
        # They were not sent repeatedly either.
        assert sum(isinstance(event, Began) for event in events) <= MANY


async def test_one_that_does_not_even_begin_runs_out_of_time(tmp_path):
    async with quick(tmp_path) as model:
        [pid] = model.pids()
        os.kill(pid, signal.SIGSTOP)
        calls = [model.call(n, timeout=2) for n in range(3)]
        found = await answers(*calls)
        assert isinstance(found[0], CallTimeout)
        assert [given(reply) for reply in found[1:]] == [1, 2]
        assert model.numbers() == [1, 2]
        assert model.pids() != [pid]


async def test_a_caller_leaves_before_the_worker_begins(tmp_path):
    async with quick(tmp_path) as model:
        [pid] = model.pids()
        os.kill(pid, signal.SIGSTOP)
        left = model.call(0)
        await until(lambda: model.made.status().running)
        left.cancel()
        await asyncio.wait([left])
        os.kill(pid, signal.SIGCONT)
        assert given(*await answers(model.call(1))) == 1
        assert model.numbers() == [1]
        assert model.pids() == [pid]


async def test_the_order_is_that_of_their_coming(tmp_path):
    async with quick(tmp_path) as model:
        calls = [model.call(n, reports=n in (0, 5, 7, 8)) for n in range(MANY)]
        assert [given(r) for r in await answers(*calls)] == list(range(MANY))
        assert model.numbers() == list(range(MANY))


async def test_a_stream_is_stopped_and_the_others_get_their_turn(tmp_path):
    async with quick(tmp_path) as model:
        calls = [
            model.call(0),
            model.call(-1, yields=True),  # endlessly
            model.call(3, yields=True),
            *(model.call(n) for n in range(4, MANY)),
        ]
        endless = (await asyncio.wait_for(calls[1], BOUND)).stream
        assert await anext(endless)
        await asyncio.wait_for(endless.aclose(), BOUND)
        three = (await asyncio.wait_for(calls[2], BOUND)).stream
        assert await read(three) == b"0\n1\n2\n"
        others = await answers(*calls[3:])
        assert [given(reply) for reply in others] == list(range(4, MANY))


async def test_a_reader_who_leaves_as_the_next_stream_begins(tmp_path):
    """The first has ended, but that is not heard yet."""

    async with quick(tmp_path) as model:

        def hold_up():  # on a busy machine the next one may not be ahead
            wait_for_numbers(model, [0, 20, 3], seconds=2)

        async def leave(call):
            await (await call).stream.aclose()

        began = after(Began, hold_up)
        first = model.coroutine(20, yields=True, size=8000, on_event=began)
        calls = [
            model.call(0),
            asyncio.create_task(leave(first)),
            model.call(3, yields=True, gate=str(model.gate)),
        ]
        await asyncio.wait_for(calls[1], BOUND)
        model.gate.touch()
        three = (await asyncio.wait_for(calls[2], BOUND)).stream
        assert await read(three) == b"0\n1\n2\n"


async def test_a_stop_while_a_stream_is_being_stopped(tmp_path):
    async with quick(tmp_path) as model:
        [pid] = model.pids()
        endless = (await answers(model.call(-1, yields=True)))[0].stream
        assert await anext(endless)
        os.kill(pid, signal.SIGSTOP)
        leaving = asyncio.create_task(endless.aclose())
        await asyncio.sleep(0)
        closing = asyncio.create_task(model.made.close(LONG_TIME))
        await asyncio.sleep(0)
        os.kill(pid, signal.SIGCONT)
        await asyncio.wait_for(asyncio.gather(leaving, closing), BOUND)


async def test_a_stream_that_was_ahead_runs_out_of_time(tmp_path):
    """Also if it is heard together with the answer before it."""

    async with quick(tmp_path) as model:
        calls = [
            model.call(0),
            model.call(1, on_event=after(Began, time.sleep, 0.1)),
            model.call(-1, yields=True, timeout=0.5),
            *(model.call(n) for n in range(3, MANY)),
        ]
        endless = (await asyncio.wait_for(calls[2], BOUND)).stream
        with pytest.raises(CallTimeout):
            await asyncio.wait_for(read(endless), BOUND)
        others = await answers(*calls[3:])
        assert [given(reply) for reply in others] == list(range(3, MANY))


async def test_a_slow_reader_does_not_hold_up_other_calls(tmp_path):
    """The size of the chunks in which the stream ends does not matter."""

    async with quick(tmp_path) as model:
        loop = asyncio.get_running_loop()
        holding = []

        def hold_up():
            time.sleep(0.02)
            holding[:] = [loop.call_later(0.0005, hold_up)]

        hold_up()
        for size in range(40_000, 62_000, 4000):
            number = MAX_UNREAD_BYTES // (size + 3) + 1  # the last item is one too many
            found = await answers(model.call(number, yields=True, size=size))
            await asyncio.sleep(0.3)  # the reader takes nothing
            await asyncio.wait_for(found[0].stream.aclose(), BOUND)
            assert given(*await answers(model.call(7))) == 7
        holding[0].cancel()


async def test_a_caller_who_leaves_when_the_next_call_runs(tmp_path):
    """The stream has ended, and the next call, which runs, must not be stopped."""

    async def leaves(model, first):
        """Tell whether the next call ran: on a busy machine it may not be ahead."""
        model.ran.unlink(missing_ok=True)
        model.gate.unlink(missing_ok=True)
        left = []

        def leave():
            first.touch()
            if wait_for_numbers(model, [0, 1, 2], seconds=2):
                left.append(calls[1].cancel())

        began = after(Began, leave)
        calls = [
            model.call(0),
            model.call(1, finish=False, on_event=began, gate=str(first)),
            model.call(2, gate=str(model.gate)),
            *(model.call(n) for n in range(3, MANY)),
        ]
        await asyncio.wait_for(asyncio.wait(calls[1:2]), BOUND)
        model.gate.touch()
        found = await answers(*calls[2:])
        assert [given(reply) for reply in found] == list(range(2, MANY))
        return bool(left)

    async with quick(tmp_path) as model:
        before = model.pids()
        for number in range(10):
            if await leaves(model, tmp_path / f"first-{number}"):
                break
        else:
            pytest.skip("the machine is too busy for a quick worker")
        assert model.pids() == before


async def test_workers_that_die_as_calls_come(tmp_path):
    """The end of file of an idle one and a call, in the same turn of the loop."""

    async with quick(tmp_path) as model:
        loop = asyncio.get_running_loop()

        def kill(go_on):
            os.kill(idle(model)[0].pid, signal.SIGKILL)
            time.sleep(0.02)
            loop.call_soon(go_on)

        for n in range(15):
            await until(lambda: idle(model))
            calls = []
            loop.call_soon(kill, lambda n=n, to=calls: to.append(model.call(n)))
            await until(lambda to=calls: to and to[0].done())
            [found] = await answers(*calls)
            assert isinstance(found, WorkerDied) or given(found) == n
        await until(lambda: idle(model))


def idle(model):
    workers = model.made.status().workers
    return [w for w in workers if w.state is WorkerState.IDLE]


async def test_those_ahead_wait_in_the_queue(tmp_path):
    async with quick(tmp_path, limits=Limits(max_queued=15)) as model:
        full = []

        def fill(event):
            if isinstance(event, Began):
                # 14 have been given to the worker behind this one
                full.extend(model.call(n) for n in range(100, 103))

        calls = [
            model.call(0),
            model.call(1, gate=str(model.gate), on_event=fill),
            *(model.call(n) for n in range(2, 16)),
        ]
        await until(lambda: full and full[1].done() and full[2].done())
        model.gate.touch()
        found = await answers(*calls, *full)
        assert [isinstance(each, Unavailable) for each in found[16:]] == [
            *(False, True, True)
        ]
        assert [given(r) for r in found[:17]] == [*range(16), 100]


async def test_a_worker_retires_no_later(tmp_path):
    async with quick(tmp_path, limits=Limits(max_calls=40)) as model:
        calls = [model.call(n) for n in range(300)]
        found = await answers(*calls)
        assert [given(reply) for reply in found] == list(range(300))
        pids = collections.Counter(json.loads(r.body)["pid"] for r in found)
        assert max(pids.values()) <= 40
        assert len(pids) <= 10


async def test_a_job_gets_its_turn(tmp_path):
    async with quick(tmp_path) as model:

        async def ask_on():
            while not job.done():
                await model.call(0)

        job = model.call(7, reports=True)
        job.cancel()
        await asyncio.wait([job])
        async with asyncio.timeout(BOUND):
            for _ in range(5):
                job = model.call(7, reports=True)
                await asyncio.gather(*(ask_on() for _ in range(MANY)))
                assert given(job.result()) == 7


async def test_whose_a_line_is(tmp_path, caplog):
    caplog.set_level(logging.INFO, "deepaas.executors.output")

    async with quick(tmp_path) as model:
        calls = [model.call(n, says=n == 9) for n in range(MANY)]
        await answers(*calls)
        calls = [model.call(n, says=True) for n in range(20, 300)]
        await answers(*calls)
    lines = [r.getMessage() for r in caplog.records if "this is" in r.getMessage()]
    found = [re.fullmatch(r"\[m \d+ (\S+)\] this is (\d+)", line) for line in lines]
    assert all(found), lines
    names = {int(match[2]): match[1].split(",") for match in found}
    assert f"c{9}" in names[9]  # it may have been any of these
    for n in range(20, 300):
        assert names[n] == [f"c{n}"]


async def test_a_line_that_is_printed_in_parts(tmp_path, caplog):
    caplog.set_level(logging.INFO, "deepaas.executors.output")

    async with quick(tmp_path) as model:
        [reply] = await answers(model.call(5, yields=True, says=True))
        assert await read(reply.stream) == b"0\n1\n2\n3\n4\n"
    [line] = [r.getMessage() for r in caplog.records if "0 1" in r.getMessage()]
    assert line.endswith(" c5] 0 1 2 3 4 ")


@pytest.mark.parametrize("grace", [0, LONG_TIME])
async def test_a_stop_refuses_those_ahead(tmp_path, grace):
    async with quick(tmp_path) as model:
        closing = []

        def stop(event):
            if isinstance(event, Began):
                wait_for_numbers(model, [0, 1])
                closing.append(asyncio.create_task(model.made.close(grace)))

        calls = [
            model.call(0),
            model.call(1, gate=str(model.gate), on_event=stop),
            *(model.call(n) for n in range(2, MANY)),
        ]
        await answers(*calls[2:])
        model.gate.touch()
        found = await answers(*calls)
        await asyncio.wait_for(closing[0], BOUND)
        assert given(found[0]) == 0
        assert isinstance(found[1], Unavailable) if grace == 0 else given(found[1])
        assert all(isinstance(each, Unavailable) for each in found[2:])
        assert model.numbers() in ([0, 1], [0])
