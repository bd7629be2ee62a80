"""A call from its coming to its end: its answer, its events and its timer."""

import pytest

from deepaas.errors import CallTimeout, ModelRaised
from deepaas.executors import Began, Ended, Reply
from deepaas.executors.calls import PendingCall
from deepaas.executors.messages import Call
from deepaas.executors.stream import ReplyStream
from tests.unit.executors.fakes import still_loop

REPLY = Reply("text/plain", b"1")


@pytest.fixture
def loop():
    with still_loop() as made:
        yield made


class Heard:
    def __init__(self, method="predict", **options):
        self.events, self.ends, self.late = [], [], []
        self.call = PendingCall(
            Call(method, {}),
            b"",
            on_timeout=self.late.append,
            on_end=self.ends.append,
            on_event=self.events.append,
            **options,
        )


def test_a_call_that_is_answered(loop):
    heard = Heard()
    loop.now += 2
    heard.call.begin(loop.now)
    loop.now += 3
    heard.call.resolve(REPLY)
    heard.call.resolve(ModelRaised("too late"))
    assert heard.call.outcome.result() is REPLY
    end = Ended("predict", 200, 2.0, 3.0)
    assert heard.events == [Began(), end]
    assert heard.ends == [end]


def test_the_workers_clock_goes_before_ours(loop):
    heard = Heard()
    heard.call.begin(loop.now)
    loop.now += 3
    heard.call.ran = 1.0
    heard.call.resolve(REPLY)
    assert heard.ends == [Ended("predict", 200, 2.0, 1.0)]


def test_a_call_that_never_began(loop):
    heard = Heard("train")
    loop.now += 2
    heard.call.resolve(ModelRaised("no", status=503))
    assert heard.ends == [Ended("train", 503, 2.0, None)]
    assert heard.call.outcome.exception().status == 503


@pytest.mark.parametrize("end", ["resolve", "requeue", "end_stream"])
def test_its_timer_ends_with_it(loop, end):
    heard = Heard(timeout=1.0)
    heard.call.begin(loop.now)
    assert len(loop.timers()) == 1
    heard.call.resolve(REPLY) if end == "resolve" else getattr(heard.call, end)()
    assert loop.timers() == []
    loop.pass_time(2)
    assert heard.late == []


def test_its_timer_rings(loop):
    heard = Heard(timeout=1.0)
    loop.pass_time(5)
    assert heard.late == []
    heard.call.begin(loop.now)
    loop.pass_time(1)
    assert heard.late == [heard.call]


@pytest.mark.parametrize("timeout", [None, 0])
def test_no_limit(loop, timeout):
    Heard(timeout=timeout).call.begin(loop.now)
    assert loop.timers() == []


def test_a_stream_ends_the_call_when_it_ends(loop):
    heard = Heard()
    heard.call.begin(loop.now)
    stream = ReplyStream(lambda wait: None, lambda: None)
    heard.call.begin_stream("text/plain", stream)
    assert heard.call.outcome.result().stream is stream
    assert heard.ends == []
    heard.call.resolve(CallTimeout("late"))
    assert [end.status for end in heard.ends] == [504]
    with pytest.raises(CallTimeout):
        stream.__anext__().send(None)


def test_a_caller_who_has_left_gets_no_answer_but_it_is_there(loop):
    heard = Heard()
    heard.call.outcome.cancel()
    heard.call.renew()
    heard.call.resolve(REPLY)
    assert heard.call.outcome.result() is REPLY


def test_two_may_wait_for_its_end(loop):
    heard = Heard()
    waiting = [loop.create_task(heard.call.over()) for _ in range(2)]
    loop.turn()
    heard.call.resolve(REPLY)
    loop.turn()
    assert all(task.done() for task in waiting)
    late = loop.create_task(heard.call.over())
    loop.turn()
    assert late.done()
