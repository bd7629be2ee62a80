"""The queue over fake slots, with events in any order, in milliseconds."""

from contextlib import ExitStack

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from deepaas.errors import (
    LEFT,
    CallTimeout,
    ModelRaised,
    RowFailed,
    Unavailable,
    WorkerDied,
)
from deepaas.executors import Began, Ended
from deepaas.executors.availability import MAX_COLD_SECONDS, MAX_FAILED_STARTS
from deepaas.executors.calls import ExitReason
from deepaas.executors.executor import QueuedExecutor
from deepaas.executors.messages import Call
from deepaas.executors.queue import MAX_BEGUN_SECONDS, MAX_JOIN_SECONDS
from deepaas.model.loading import Batching
from tests.unit.executors.fakes import FakePool, still_loop

LONG_GRACE = 1000.0


class Model:
    """A queue over fake slots, and the calls that were made."""

    def __init__(self, loop, size=1, **options):
        self.loop = loop
        self.pool = FakePool(loop, size, **options)
        self.queue = self.pool.queue
        self.ends = []
        self.queue.listen(self.ends.append, None)
        self.pool.launch()
        self.pool.warm_all()

    @property
    def slots(self):
        return self.pool.slots

    def call(self, n, method="predict", reports=False, size=1, **options):
        call = Call(method, {"n": n, "size": size}, None, reports)
        task = self.loop.create_task(self.queue.run(call, **options))
        self.loop.turn()
        return task

    def call_together(self, *numbers):
        calls = [Call("predict", {"n": n, "size": 1}) for n in numbers]
        task = self.loop.create_task(self.queue.run_together(calls))
        self.loop.turn()
        return task

    def numbers(self, slot):
        return [call.call.kwargs["n"] for call in slot.given]

    def answer(self, slot, error=None):
        slot.take()
        slot.finish(error)
        slot.deliver()
        self.loop.turn()

    def close(self, grace=0):
        closing = self.loop.create_task(self.queue.close(grace))
        self.loop.turn(20)
        return closing


@pytest.fixture
def loop():
    with still_loop() as made:
        yield made


def body(task):
    return int(task.result().body)


def test_calls_are_answered_in_order(loop):
    model = Model(loop)
    calls = [model.call(n) for n in range(5)]
    while model.slots[0].given:
        model.answer(model.slots[0])
    assert [body(call) for call in calls] == list(range(5))
    assert model.pool.begun == list(range(5))
    assert [end.status for end in model.ends] == [200] * 5
    loop.pass_time(MAX_BEGUN_SECONDS)
    assert loop.timers() == []


def test_a_slot_has_its_fair_share_ahead(loop):
    model = Model(loop, 2)
    for n in range(8):
        model.call(n)
    second, first = model.slots
    assert (model.numbers(first), model.numbers(second)) == ([0], [1])
    model.answer(first)
    assert model.numbers(first) == [2, 3, 4]  # of six that wait
    assert model.queue.status().waiting == {"predict": 5}
    assert model.queue.status().running == {"predict": 2}


def test_calls_that_come_back_from_two_slots_keep_their_order(loop):
    model = Model(loop, 2)
    for n in range(10):
        model.call(n)
        loop.pass_time(MAX_BEGUN_SECONDS / 100)
    earlier, later = model.slots
    model.answer(earlier)
    model.answer(later)
    assert (model.numbers(earlier), model.numbers(later)) == ([2, 3, 4, 5], [6, 7])
    earlier.take()
    later.take()
    loop.pass_time(2 * MAX_BEGUN_SECONDS)
    assert (model.numbers(earlier), model.numbers(later)) == ([2], [6])
    for _ in range(6):
        model.answer(later)
    assert model.pool.begun[2:] == [2, 6, 3, 4, 5, 7, 8]


def test_the_slot_that_was_busy_last_is_taken_first(loop):
    model = Model(loop, 3)
    for n in range(3):
        model.call(n)
    middle = model.slots[1]
    for slot in (*model.slots[::2], middle):
        model.answer(slot)
    for n in range(3, 6):
        model.call(n)
        assert model.numbers(middle) == [n]
        model.answer(middle)


def test_calls_wait_a_moment_for_a_quick_slot(loop):
    model = Model(loop, 2, quick=True)
    for n in range(4):
        model.call(n)
    second, first = model.slots
    assert (model.numbers(first), model.numbers(second)) == ([0], [])
    model.answer(first)
    assert (model.numbers(first), model.numbers(second)) == ([1, 2, 3], [])
    loop.pass_time(MAX_JOIN_SECONDS / 2)
    model.call(4)
    assert (model.numbers(first), model.numbers(second)) == ([1, 2, 3], [])
    model.call(5)  # more than the first slot may have
    assert (model.numbers(first), model.numbers(second)) == ([1, 2, 3], [4])


def test_calls_wait_no_longer_for_a_slot_that_is_not_quick(loop):
    model = Model(loop, 2, quick=True)
    for n in range(3):
        model.call(n)
    second, first = model.slots
    first.take()
    loop.pass_time(2 * MAX_JOIN_SECONDS)
    assert (model.numbers(first), model.numbers(second)) == ([0], [1])
    model.answer(second)
    model.answer(second)
    assert model.pool.begun == [0, 1, 2]
    loop.pass_time(MAX_BEGUN_SECONDS)
    assert loop.timers() == []


def test_calls_that_wait_for_a_quick_slot_survive_it(loop):
    model = Model(loop, 2, quick=True)
    calls = [model.call(n) for n in range(3)]
    second, first = model.slots
    first.take()
    model.pool.lose(first)
    loop.turn()
    assert isinstance(calls[0].exception(), WorkerDied)
    assert model.numbers(second) == [1]
    model.answer(second)
    assert model.numbers(second) == [2]


def test_a_caller_leaves_who_waits_for_a_quick_slot(loop):
    model = Model(loop, 2, quick=True)
    calls = [model.call(n) for n in range(3)]
    second, first = model.slots
    calls[1].cancel()
    loop.turn()
    model.answer(first)
    assert (model.numbers(first), model.numbers(second)) == ([2], [])


@pytest.mark.parametrize("options", [{"reports": True}, {"method": "train"}])
def test_a_call_that_runs_alone_does_not_wait_for_a_quick_slot(loop, options):
    model = Model(loop, 3, quick=True)
    model.call(0)
    model.call(1, **options)
    assert [model.numbers(slot) for slot in model.slots] == [[], [1], [0]]


def test_calls_do_not_wait_for_a_quick_slot_that_streams(loop):
    model = Model(loop, 2, quick=True)
    model.call(0)
    second, first = model.slots
    first.take()
    first.stream()
    model.call(1)
    assert (model.numbers(first), model.numbers(second)) == ([0], [1])


def test_what_is_behind_a_slow_call_waits_for_any_slot(loop):
    model = Model(loop, 2)
    for n in range(8):
        model.call(n)
    second, first = model.slots
    model.answer(first)
    first.take()
    loop.pass_time(2 * MAX_BEGUN_SECONDS)
    assert model.numbers(first) == [2]
    model.answer(second)
    assert model.numbers(second)[0] == 3


def test_a_slot_that_streams_has_nothing_ahead(loop):
    model = Model(loop)
    calls = [model.call(n) for n in range(6)]
    [slot] = model.slots
    model.answer(slot)
    assert len(slot.given) > 1
    slot.take()
    slot.stream()
    assert model.numbers(slot) == [1]
    loop.turn()
    assert calls[1].result().stream is not None
    slot.finish()
    slot.deliver()
    loop.turn()
    assert slot.given


def run_ahead(model, **options):
    """Let a slot go on to call 2 before the server reads the answer of call 1."""
    calls = [model.call(0), model.call(1, **options)]
    calls += [model.call(n) for n in range(2, 8)]
    [slot] = model.slots
    model.answer(slot)
    assert model.numbers(slot) == [1, 2, 3, 4]
    slot.take()
    slot.finish()
    slot.take()
    return slot, calls


def test_a_stream_that_is_read_with_the_answer_before_it_has_nothing_ahead(loop):
    model = Model(loop)
    slot, _ = run_ahead(model)
    answer, first = slot.unread.popleft(), slot.given.popleft()
    slot.given[0].begin(loop.now)
    first.resolve(answer)
    slot.stream()
    model.pool.on_answered(slot)
    assert model.numbers(slot) == [2]


def test_a_call_whose_answer_is_on_its_way_does_not_run_out_of_time(loop):
    model = Model(loop)
    slot, calls = run_ahead(model, timeout=1.0)
    loop.pass_time(1.0)
    assert model.pool.reasons == []
    slot.deliver()
    loop.turn()
    assert body(calls[1]) == 1


def test_a_caller_leaves_a_call_whose_answer_is_on_its_way(loop):
    model = Model(loop)
    slot, calls = run_ahead(model)
    calls[1].cancel()
    loop.turn()
    assert model.pool.reasons == []  # the slot runs another one's call
    slot.deliver()
    loop.turn()
    assert calls[1].cancelled()
    assert model.numbers(slot)[0] == 2


def test_callers_who_leave_together_take_no_slot(loop):
    model = Model(loop)
    calls = [model.call(n) for n in range(5)]
    [slot] = model.slots
    model.answer(slot)
    slot.take()
    begun, leaving = calls[1], calls[2:]
    for call in leaving:
        call.cancel()
    loop.turn(1)
    slot.finish()
    slot.deliver()
    slot.take()
    assert slot.begun[-1].call.kwargs["n"] == 1
    loop.turn()
    assert body(begun) == 1
    assert all(call.cancelled() for call in leaving)


def test_a_call_that_runs_alone_is_not_sent_ahead(loop):
    model = Model(loop)
    for n in range(6):
        model.call(n, reports=n == 2)
    [slot] = model.slots
    model.answer(slot)
    assert model.numbers(slot) == [1]
    model.answer(slot)
    assert model.numbers(slot) == [2]


def test_trainings_leave_one_slot(loop):
    model = Model(loop, 2)
    for n in range(3):
        model.call(n, "train")
    assert [slot.trains for slot in model.slots].count(True) == 1
    call = model.call(9)
    free = next(slot for slot in model.slots if not slot.trains)
    model.answer(free)
    assert body(call) == 9
    # The other one is lost: the trainings still leave the one that is warm.
    model.pool.lose(free)
    model.answer(next(slot for slot in model.slots if slot.warm))
    assert not any(slot.trains for slot in model.slots)
    model.pool.warm_all()
    assert any(slot.trains for slot in model.slots)


def test_a_single_slot_trains_too(loop):
    model = Model(loop)
    call = model.call(1, "train")
    model.answer(model.slots[0])
    assert body(call) == 1


@pytest.mark.parametrize("method", ["predict", "train"])
def test_too_many_wait(loop, method):
    model = Model(loop, max_queued=2)
    calls = [model.call(n, method) for n in range(4)]
    with pytest.raises(Unavailable, match="2 calls wait") as caught:
        calls[3].result()
    assert caught.value.headers["Retry-After"] == "1"
    assert [end.status for end in model.ends] == [503]
    assert not any(call.done() for call in calls[:3])


def test_trainings_and_predictions_do_not_take_each_others_places(loop):
    model = Model(loop, 2, max_queued=2)
    trainings = [model.call(n, "train") for n in range(3)]
    assert not any(call.done() for call in trainings)
    assert model.call(8, "train").exception() is not None
    calls = [model.call(n) for n in range(3)]
    assert not any(call.done() for call in calls)
    assert model.call(9).exception() is not None


def test_a_reservation_counts_as_a_call_that_waits(loop):
    model = Model(loop, max_queued=1)
    with ExitStack() as places:
        for _ in range(2):  # one runs, one waits
            places.enter_context(model.queue.admit("predict"))
        with pytest.raises(Unavailable):
            model.queue.admit("predict")
        assert model.call(0).exception() is not None
    assert not model.call(1).done()


def test_a_time_out_ends_the_slot_and_no_other_call(loop):
    model = Model(loop)
    late, next_one = model.call(0, timeout=1.0), model.call(1)
    model.slots[0].take()
    loop.pass_time(1.0)
    with pytest.raises(CallTimeout, match="longer than 1 s"):
        late.result()
    assert model.pool.reasons == [ExitReason.TIMEOUT]
    model.pool.warm_all()
    model.answer(model.slots[0])
    assert body(next_one) == 1


def test_the_time_of_a_call_runs_only_while_it_runs(loop):
    model = Model(loop)
    model.call(0)
    call = model.call(1, timeout=1.0)
    loop.pass_time(10.0)
    assert not call.done()
    model.answer(model.slots[0])
    loop.pass_time(0.9)
    model.answer(model.slots[0])
    assert body(call) == 1
    assert loop.timers() == []


def test_the_time_of_a_call_that_comes_back_begins_again(loop):
    model = Model(loop)
    call = model.call(0, timeout=1.0)
    loop.pass_time(0.9)
    model.queue.reclaim(model.slots[0])  # it had not begun, and is given again
    loop.pass_time(0.9)
    assert not call.done()
    model.slots[0].take()
    loop.pass_time(0.2)
    assert isinstance(call.exception(), CallTimeout)


@pytest.mark.parametrize("finish", [False, True])
def test_a_caller_leaves_a_call_that_runs(loop, finish):
    model = Model(loop)
    call = model.call(0, finish=finish)
    model.slots[0].take()
    call.cancel()
    loop.turn()
    assert model.pool.reasons == ([] if finish else [ExitReason.CANCELLED])
    assert call.done() is not finish
    if finish:
        model.answer(model.slots[0])
    assert call.cancelled()
    assert [end.status for end in model.ends] == [200 if finish else LEFT]


def test_a_caller_leaves_a_call_that_waits(loop):
    model = Model(loop)
    model.call(0)
    call = model.call(1)
    call.cancel()
    loop.turn()
    assert call.cancelled()
    model.answer(model.slots[0])
    assert not model.slots[0].given
    assert [end.status for end in model.ends] == [LEFT, 200]


@pytest.mark.parametrize("batching", [None, Batching(2, 0)])
def test_calls_together_are_answered_in_order(loop, batching):
    model = Model(loop, batching=batching)
    together = model.call_together(1, 2, 3)
    while not together.done():
        model.answer(model.slots[0])
    assert [int(reply.body) for reply in together.result()] == [1, 2, 3]
    assert model.pool.begun == [1, 2, 3]
    assert [end.status for end in model.ends] == [200] * 3


def test_calls_together_have_a_place_each_or_none(loop):
    model = Model(loop, max_queued=6)
    model.call(0)
    waiting = [model.call_together(1, 2, 3), model.call_together(4, 5)]
    refused = [model.call_together(7, 8)]
    waiting.append(model.call(6))
    refused.append(model.call(9))
    assert [type(call.exception()) for call in refused] == [Unavailable] * 2
    assert [end.status for end in model.ends] == [503] * 3
    assert not any(call.done() for call in waiting)
    while not all(call.done() for call in waiting):
        model.answer(model.slots[0])
    assert model.pool.begun == list(range(7))


def test_the_first_failure_ends_the_calls_that_are_together(loop):
    model = Model(loop)
    together, other = model.call_together(0, 1, 2, 3), model.call(9)
    model.answer(model.slots[0])
    model.answer(model.slots[0], ModelRaised("bad"))
    while not other.done():
        model.answer(model.slots[0])
    with pytest.raises(RowFailed) as caught:
        together.result()
    assert (caught.value.number, str(caught.value.error)) == (1, "bad")
    assert body(other) == 9
    assert not model.queue.waits


def test_a_caller_leaves_calls_that_are_together(loop):
    model = Model(loop)
    together = model.call_together(0, 1, 2)
    model.slots[0].take()
    together.cancel()
    loop.turn()
    assert not together.done()  # one runs, and may finish: it needs its files
    model.answer(model.slots[0])
    assert together.cancelled()
    assert model.pool.begun == [0]
    assert model.pool.reasons == []
    assert sorted(end.status for end in model.ends) == [200, LEFT, LEFT]


def test_a_death_costs_what_was_begun(loop):
    model = Model(loop)
    calls = [model.call(n) for n in range(4)]
    model.answer(model.slots[0])
    model.slots[0].take()
    model.pool.lose(model.slots[0])
    loop.turn()
    assert isinstance(calls[1].exception(), WorkerDied)
    model.pool.warm_all()
    for _ in range(2):
        model.answer(model.slots[0])
    assert [body(calls[n]) for n in (0, 2, 3)] == [0, 2, 3]
    assert model.pool.begun == list(range(4))


def test_calls_wait_for_a_slot_up_to_a_limit(loop):
    model = Model(loop)
    model.pool.lose(model.slots[0])
    call = model.call(0)
    model.queue.check_availability(0)
    loop.pass_time(MAX_COLD_SECONDS - 1)
    assert not call.done()
    loop.pass_time(1)
    with pytest.raises(Unavailable, match="No worker of m is warm: it was lost") as e:
        call.result()
    assert e.value.headers["Retry-After"] == "10"
    assert isinstance(model.call(1).exception(), Unavailable)
    model.pool.warm_all()
    assert not model.call(2).done()


def test_starts_that_fail_in_a_row_end_the_wait(loop):
    model = Model(loop)
    model.pool.lose(model.slots[0])
    call = model.call(0)
    model.queue.check_availability(MAX_FAILED_STARTS - 1)
    assert not call.done()
    model.queue.check_availability(MAX_FAILED_STARTS)
    loop.turn()
    assert isinstance(call.exception(), Unavailable)


def test_a_batch_waits_for_others_but_not_long(loop):
    model = Model(loop, batching=Batching(3, 0.5))
    calls = [model.call(n) for n in range(2)]
    assert not model.slots[0].given
    loop.pass_time(0.5)
    assert model.numbers(model.slots[0]) == [0, 1]
    model.answer(model.slots[0])
    assert [body(call) for call in calls] == [0, 1]
    for n in range(4):
        model.call(n)
    assert model.numbers(model.slots[0]) == [0, 1, 2]


def test_a_stop_refuses_what_waits_and_lets_the_rest_end(loop):
    model = Model(loop)
    calls = [model.call(n) for n in range(4)]
    model.answer(model.slots[0])
    model.slots[0].take()
    closing = model.close(grace=LONG_GRACE)
    assert [type(call.exception()) for call in calls[2:]] == [Unavailable] * 2
    assert not closing.done()
    model.answer(model.slots[0])
    loop.turn()
    assert body(calls[1]) == 1
    assert closing.done()
    assert model.pool.closed
    assert isinstance(model.call(9).exception(), Unavailable)
    assert loop.timers() == []


def test_a_second_stop_does_not_wait(loop):
    model = Model(loop)
    call = model.call(0)
    model.slots[0].take()
    closing = model.close(grace=LONG_GRACE)
    at_once = model.close()
    assert closing.done()
    assert at_once.done()
    assert isinstance(call.exception(), Unavailable)


def test_events_of_a_call(loop):
    model = Model(loop)
    events = []
    model.call(0, on_event=events.append)
    loop.pass_time(2)
    model.answer(model.slots[0])
    assert events == [Began(), Ended("predict", 200, 0.0, 2.0)]


def test_trainings_with_a_queue_of_their_own(loop):
    predictions, trainings = Model(loop), Model(loop)
    executor = QueuedExecutor(predictions.queue, trainings.queue)
    for method in ("predict", "train"):
        loop.create_task(executor.call(method, {"n": 1}))
    loop.turn()
    assert [len(m.slots[0].given) for m in (predictions, trainings)] == [1, 1]
    trainings.pool.lose(trainings.slots[0])
    status = executor.status()
    assert status.replaced == {"died": 1}
    assert status.running == {"predict": 1}
    assert status.cause is None  # predictions are not without a worker
    closing = loop.create_task(executor.close(0))
    loop.turn()
    assert closing.done()


class Queues(RuleBasedStateMachine):
    """Each call is begun once at most, ends once, and no slot or place is lost."""

    @initialize(
        size=st.integers(1, 3),
        max_queued=st.sampled_from([0, 3, 1000]),
        batching=st.sampled_from([None, None, Batching(3, 0.1)]),
        quick=st.booleans(),
    )
    def start(self, size, max_queued, **options):
        self.stack = ExitStack()
        self.loop = self.stack.enter_context(still_loop())
        self.model = Model(self.loop, size, max_queued=max_queued, **options)
        self.calls = []
        self.events = []
        self.places = []
        self.streams = []

    def slot(self, data):
        return data.draw(st.sampled_from(self.model.slots), "slot")

    @rule(
        method=st.sampled_from(["predict", "predict", "predict", "train"]),
        reports=st.booleans(),
        finish=st.booleans(),
        timeout=st.sampled_from([None, 1.0]),
    )
    def call(self, method, **options):
        n, events = len(self.calls), []
        self.events.append(events)
        self.calls.append(self.model.call(n, method, on_event=events.append, **options))

    @rule()
    def call_many(self):
        for _ in range(6):
            self.call("predict", reports=False, finish=True, timeout=None)

    @precondition(lambda self: self.calls)
    @rule(data=st.data())
    def leave(self, data):
        data.draw(st.sampled_from(self.calls)).cancel()
        self.loop.turn()

    @rule(data=st.data())
    def take(self, data):
        self.slot(data).take()

    @rule(data=st.data(), fails=st.booleans())
    def finish(self, data, fails):
        self.slot(data).finish(ModelRaised("no") if fails else None)

    @rule(data=st.data())
    def deliver(self, data):
        self.slot(data).deliver()
        self.loop.turn()

    @rule(data=st.data())
    def answer(self, data):
        self.model.answer(self.slot(data))

    @rule(data=st.data())
    def stream(self, data):
        self.slot(data).stream()
        self.loop.turn()

    @rule(data=st.data())
    def lose(self, data):
        self.model.pool.lose(self.slot(data))
        self.loop.turn()

    @rule()
    def warm(self):
        self.model.pool.warm_all()
        self.loop.turn()

    @rule(seconds=st.sampled_from([0.001, 0.01, 0.2, 2.0]))
    def wait(self, seconds):
        self.loop.pass_time(seconds)

    @rule(failed=st.integers(0, MAX_FAILED_STARTS))
    def fail_to_start(self, failed):
        self.model.queue.check_availability(failed)
        self.loop.turn()

    @rule(method=st.sampled_from(["predict", "train"]))
    def reserve(self, method):
        try:
            self.places.append(self.model.queue.admit(method))
        except Unavailable:
            return

    @rule()
    def give_places_back(self):
        while self.places:
            self.places.pop().close()

    @invariant()
    def nothing_begins_twice(self):
        if hasattr(self, "model"):
            begun = self.model.pool.begun
            assert len(set(begun)) == len(begun)

    @invariant()
    def a_single_slot_begins_calls_in_order(self):
        pool = self.model.pool if hasattr(self, "model") else None
        if pool is not None and pool.size == 1 and pool.batching is None:
            assert pool.begun == sorted(pool.begun)

    @invariant()
    def no_slot_is_free_while_a_prediction_waits(self):
        if not hasattr(self, "model") or self.model.pool.batching is not None:
            return
        queue = self.model.queue
        if any(not call.trains for call in queue._waiting):
            assert not queue._free or self.joins()

    def joins(self):
        """Tell whether calls wait for a quick slot that is busy, for a moment."""
        slot = self.model.queue._last
        timer = self.model.queue._watching
        return slot.quick and slot.given and timer.when() > self.loop.now

    @invariant()
    def trainings_leave_a_slot(self):
        if hasattr(self, "model") and self.model.pool.size > 1:
            assert not all(slot.trains for slot in self.model.slots)

    @invariant()
    def each_call_ends_once(self):
        for task, events in zip(
            getattr(self, "calls", ()), getattr(self, "events", ()), strict=True
        ):
            ends = [event for event in events if isinstance(event, Ended)]
            assert len(ends) <= 1
            if task.done() and not task.cancelled() and task.exception() is not None:
                assert len(ends) == 1
                assert ends[0].status == task.exception().status
            if ends:
                assert events[-1] is ends[0]

    def teardown(self):
        if not hasattr(self, "model"):
            return
        self.give_places_back()
        for _ in range(10 * len(self.calls) + 10):
            self.model.pool.warm_all()
            for slot in list(self.model.slots):
                self.model.answer(slot)
            self.loop.pass_time(0.2)
            if len(self.model.queue._free) == self.model.pool.size:
                break
        for n, task in enumerate(self.calls):
            assert task.done()
            check(n, task)
        assert self.model.queue.status().waiting == {}
        assert self.model.queue.status().running == {}
        assert len(self.model.ends) == len(self.calls)
        assert len(self.model.queue._free) == self.model.pool.size
        assert self.model.close().done()
        assert self.loop.timers() == []
        self.stack.close()


def check(n, task):
    """A call has its own answer, or a reason for none."""
    if task.cancelled():
        return
    error = task.exception()
    if error is None:
        reply = task.result()
        assert reply.stream is not None or int(reply.body) == n
    else:
        assert isinstance(error, ModelRaised | WorkerDied | CallTimeout | Unavailable)


TestQueues = Queues.TestCase
TestQueues.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
