"""Prefetch: how many calls a worker may have before it can begin them.

A worker that has its next call already does not wait for the server after each answer.
Policy: calls are sent ahead only to a worker that is quick (what it has takes
PREFETCH_SECONDS at most, by its last call) and quiet (a line that it prints names its
call), that is not limited by its memory, and no more than its fair share of those that
wait. The server takes them back as soon as one of them is slow.
"""

import math
from collections.abc import Iterable

from deepaas.executors.base import Limits
from deepaas.executors.calls import PendingCall

MAX_CALLS = 16
"""Calls that a worker may have at once."""

PREFETCH_SECONDS = 0.002
"""Seconds that the calls which a worker has are expected to take together."""

JOIN_SECONDS = 0.00025
"""The same while another worker is free: about what it takes to wake that one."""

MAX_PREFETCH_BYTES = 65536
"""Bytes of calls that are sent ahead at once."""

MIN_QUIET_CALLS = 16
"""Calls without output until a worker has more than one."""


class Pace:
    """The speed of a worker, as its last calls show it."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.calls = 0
        """Calls that it has answered."""
        self._seconds = math.inf
        """Seconds that the last call took; infinite if the next may be unlike it."""
        self._quiet = 0
        """Calls since it has printed something."""

    def note_answer(self, seconds: float) -> None:
        """Note how long the model took for a call."""
        self.calls += 1
        self._quiet += 1
        self._seconds = seconds

    def note_output(self) -> None:
        """Note that it has printed something."""
        self._quiet = 0

    def note_reclaim(self) -> None:
        """Note that calls were taken back: its pace is not known until it answers."""
        self._seconds = math.inf

    def room(self, seconds: float) -> int:
        """Return how many calls it may have at once, if it takes one after another.

        They are expected to take so many seconds together.
        """
        if self._quiet < MIN_QUIET_CALLS or self._limits.max_memory:
            return 1
        room = int(seconds / max(self._seconds, seconds / MAX_CALLS))
        if self._limits.max_calls:
            room = min(room, self._limits.max_calls - self.calls)
        return room


def first_of(waiting: Iterable[PendingCall], count: int) -> list[PendingCall]:
    """Return up to `count` calls that may be sent ahead, in order.

    Ends before a call that must run alone, and at MAX_PREFETCH_BYTES.
    """
    calls: list[PendingCall] = []
    size = 0
    for call in waiting:
        size += len(call.packed)
        if len(calls) == count or call.alone or size > MAX_PREFETCH_BYTES:
            break
        calls.append(call)
    return calls
