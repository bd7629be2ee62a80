"""Only a worker that is quick, quiet and unlimited has calls before their turn."""

import pytest

from deepaas.executors import Limits
from deepaas.executors.prefetch import (
    JOIN_SECONDS,
    MAX_CALLS,
    MAX_PREFETCH_BYTES,
    MIN_QUIET_CALLS,
    PREFETCH_SECONDS,
    Pace,
    first_of,
)


def pace(seconds, calls=MIN_QUIET_CALLS, **limits):
    made = Pace(Limits(**limits))
    for _ in range(calls):
        made.note_answer(seconds)
    return made


@pytest.mark.parametrize(
    ("seconds", "room"), [(0.0, MAX_CALLS), (0.0001, MAX_CALLS), (0.001, 2), (1.0, 0)]
)
def test_the_room_depends_on_the_last_call(seconds, room):
    assert pace(seconds).room(PREFETCH_SECONDS) == room


@pytest.mark.parametrize(
    ("seconds", "room"), [(0.0, MAX_CALLS), (0.00002, 12), (0.0001, 2), (0.001, 0)]
)
def test_the_room_while_others_are_free_is_for_quick_calls(seconds, room):
    assert pace(seconds).room(JOIN_SECONDS) == room


def test_a_worker_that_is_not_known_has_one_call():
    assert pace(0.0, calls=0).room(PREFETCH_SECONDS) == 1
    assert pace(0.0, calls=MIN_QUIET_CALLS - 1).room(PREFETCH_SECONDS) == 1


def test_a_worker_that_prints_has_one_call():
    made = pace(0.0)
    made.note_output()
    assert made.room(PREFETCH_SECONDS) == 1


def test_calls_that_were_taken_back_make_it_slow():
    made = pace(0.0)
    made.note_reclaim()
    assert made.room(PREFETCH_SECONDS) == 0
    made.note_answer(0.0)
    assert made.room(PREFETCH_SECONDS) == MAX_CALLS


def test_limits_of_a_worker():
    assert pace(0.0, max_memory=1).room(PREFETCH_SECONDS) == 1
    assert pace(0.0, max_calls=MIN_QUIET_CALLS + 3).room(PREFETCH_SECONDS) == 3


class Waiting:
    def __init__(self, size=10, alone=False):
        self.packed = bytes(size)
        self.alone = alone


def test_calls_are_taken_in_order_up_to_a_count():
    waiting = [Waiting() for _ in range(5)]
    assert first_of(waiting, 3) == waiting[:3]


def test_nothing_is_taken_from_behind_a_call_that_runs_alone():
    waiting = [Waiting(), Waiting(alone=True), Waiting()]
    assert first_of(waiting, 3) == waiting[:1]


def test_large_calls_wait_for_their_turn():
    waiting = [Waiting(MAX_PREFETCH_BYTES), Waiting(1)]
    assert first_of(waiting, 2) == waiting[:1]
    assert first_of([Waiting(MAX_PREFETCH_BYTES + 1)], 1) == []
