"""The queue of a model: which calls wait, in what order, and which slot runs them.

It knows slots, which are free or have calls, and no processes: a pool fills the slots.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from deepaas.errors import (
    LEFT,
    CallTimeout,
    DeepaasError,
    Unavailable,
    WorkerDied,
)
from deepaas.executors.availability import Availability
from deepaas.executors.base import Ended, Event, ExecutorStatus, Printed
from deepaas.executors.calls import ExitReason, PendingCall, Slot
from deepaas.executors.messages import QUESTIONS, Call, Reply
from deepaas.executors.pool import Pool
from deepaas.executors.prefetch import JOIN_SECONDS, PREFETCH_SECONDS, first_of
from deepaas.executors.together import discard, wait_together
from deepaas.model.loading import Batching

MAX_BEGUN_SECONDS = 0.005
"""Seconds after which a call is too slow for others to wait behind it in its slot."""

MAX_JOIN_SECONDS = 0.001
"""Seconds after which a call is too slow for others to wait for its slot while another
one is free."""


class Queue:
    """The calls that wait for the slots of one pool, and those that run in them."""

    def __init__(self, pool: Pool, max_queued: int) -> None:
        pool.queue = self
        self.pool = pool
        self._max_queued = max_queued
        self._free: list[Slot] = []
        """Slots that are warm and have no calls; the one that was busy last is last."""
        self._last: Slot | None = None
        """The slot that was given calls last."""
        self._waiting: OrderedDict[PendingCall, None] = OrderedDict()
        self._reserved: Counter[str] = Counter()
        """Calls that are to come and have reserved room, by method."""
        self._closing = False
        self.availability = Availability(pool.model, self._drop_waiting)
        self._gathering: asyncio.TimerHandle | None = None
        """Runs while the first call of a batch waits for others."""
        self._watching: asyncio.TimerHandle | None = None
        """Runs while calls are ahead, or wait for a quick slot although one is free."""
        self.described: bytes | None = None
        """The packed ModelDescription that the first slot sent."""
        self._on_end: list[Callable[[Ended], None]] = []
        self._on_output: list[Callable[[Printed], None]] = []
        self.on_ready: list[Callable[[float], None]] = []
        """Called by the pool when all slots are warm, with the seconds since launch."""

    # -- for callers

    async def run(
        self,
        call: Call,
        *,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        on_event: Callable[[Event], None] | None = None,
    ) -> Reply:
        """Run a call, as `Executor.call` has it."""
        pending = self._make(
            call, timeout=timeout, finish=finish, label=label, on_event=on_event
        )
        self._enter([pending])
        try:
            return await pending.outcome
        except asyncio.CancelledError:
            await self._abandon(pending)
            raise

    async def run_together(self, calls: Sequence[Call], **options: Any) -> list[Reply]:
        """Run the calls of one caller, as `Executor.call_together` has it."""
        pending = [self._make(call, finish=True, **options) for call in calls]
        self._enter(pending)
        return await wait_together(pending, self._abandon)

    def _make(self, call: Call, **options: Any) -> PendingCall:
        return PendingCall(
            call,
            self.pool.pack(call),
            on_timeout=self._time_out,
            on_end=self._tell_end,
            **options,
        )

    def _enter(self, calls: Sequence[PendingCall]) -> None:
        """Let the calls of one caller wait. Raises Unavailable if they cannot."""
        try:
            self._check(calls[0].method, len(calls))
        except Unavailable as error:
            for call in calls:
                call.end(error.status)
            raise
        for call in calls:
            self._waiting[call] = None
        self.dispatch()

    def admit(self, method: str) -> contextlib.ExitStack:
        """Reserve room for a call that is to come, as `Executor.admit` has it."""
        self._check(method)
        self._reserved[method] += 1
        reservation = contextlib.ExitStack()
        reservation.callback(self._reserved.subtract, {method: 1})
        return reservation

    def status(self) -> ExecutorStatus:
        """Describe the slots and the calls as they are now."""
        calls = (call for slot in self.pool.slots for call in slot.running)
        running = [call.method for call in calls if call.method not in QUESTIONS]
        waits = (call.method for call in self._waiting)
        waiting = Counter(method for method in waits if method not in QUESTIONS)
        if ahead := self._ahead():
            waiting["predict"] += ahead
        return ExecutorStatus(
            workers=self.pool.statuses(),
            waiting=waiting,
            running=Counter(running),
            replaced=self.pool.replaced,
            cause=self.availability.cause,
        )

    def listen(
        self,
        on_end: Callable[[Ended], None] | None,
        on_output: Callable[[Printed], None] | None,
    ) -> None:
        """Tell a listener of the ends of calls, of what workers print, or of both."""
        if on_end is not None:
            self._on_end.append(on_end)
        if on_output is not None:
            self._on_output.append(on_output)

    def _tell_end(self, event: Ended) -> None:
        if event.method in QUESTIONS:
            return  # no caller has made it
        for listener in self._on_end:
            listener(event)

    async def close(self, grace: float) -> None:
        """End: no new calls, those that run have `grace` seconds, no slot stays."""
        self._closing = True
        self.pool.stop()
        stopping = Unavailable("The server is stopping.")
        for slot in self.pool.slots:
            self._reclaim(slot)
        self._drop_waiting(stopping)
        self.availability.stop()
        for timer in filter(None, (self._gathering, self._watching)):
            timer.cancel()
        running = [
            asyncio.create_task(call.over())
            for slot in self.pool.slots
            for call in slot.given
        ]
        if running and grace > 0:
            await asyncio.wait(running, timeout=grace)
        for slot in self.pool.slots:
            for call in slot.given:
                call.resolve(stopping)
                slot.kill(ExitReason.STOPPING)
        await self.pool.close()
        await asyncio.gather(*running)

    # -- for the pool

    def offer(self, slot: Slot) -> None:
        """Take a slot that is warm and has no calls, and give it some that wait."""
        self.availability.recover()
        self._free.append(slot)
        self.dispatch()

    def advance(self, slot: Slot) -> None:
        """Give a slot more calls, ahead of those that it has. It has answered some."""
        if not slot.streams and (calls := self._share(slot, len(self._free))):
            self._give(slot, calls)
        if self._free:
            self.dispatch()

    def reclaim(self, slot: Slot) -> None:
        """Take back calls that a slot has not begun, for slots that are free now."""
        if not self._reclaim(slot):
            return
        if slot.idle:  # it has begun none of its calls
            self.pool.release(slot)
        else:
            self.dispatch()

    def withdraw(self, slot: Slot) -> None:
        """Give a slot no more calls, and take back those that it has not begun."""
        if slot in self._free:
            self._free.remove(slot)
        if slot is self._last:
            self._last = None
        self._reclaim(slot)
        self.dispatch()

    def fail_begun(self, slot: Slot, error: WorkerDied) -> None:
        """End the calls that a lost slot had begun."""
        while slot.given:
            slot.given.popleft().resolve(error)

    def fail_first(self, error: WorkerDied) -> None:
        """End the first call that waits, if there is one."""
        if self._waiting:
            first, _ = self._waiting.popitem(last=False)
            first.resolve(error)

    def note_lost(self, cause: str) -> None:
        """Note why a slot was lost, or did not start."""
        self.availability.cause = cause

    def check_availability(self, failed_starts: int) -> None:
        """Refuse waiting calls if no slot is warm, and none will be soon."""
        if not any(slot.warm and not slot.trains for slot in self.pool.slots):
            self.availability.note_none_warm(failed_starts)

    def tell_output(self, printed: Printed) -> None:
        """Tell the listeners what a worker printed."""
        for listener in self._on_output:
            listener(printed)

    def note_description(self, description: bytes | None) -> None:
        """Keep the description that a slot sent, unless there is one already."""
        self.described = self.described or description

    def forget_description(self) -> None:
        """Drop the description, so that the next new slot sends another one."""
        self.described = None

    @property
    def idle(self) -> bool:
        """Tell whether a slot is free, and would begin a call at once."""
        return bool(self._free) and not self._waiting and not self._closing

    @property
    def waits(self) -> bool:
        """Tell whether a call waits for a slot."""
        return bool(self._waiting)

    # -- admission

    def _check(self, method: str, count: int = 1) -> None:
        """Raise Unavailable if `count` calls could not even wait now."""
        if self._closing:
            raise Unavailable("The server is stopping.")
        self.availability.check()
        ahead = self._ahead()
        reserved = sum(self._reserved.values())
        more = count - 1
        if len(self._waiting) + ahead + reserved + more < self._max_queued:
            return
        # Trainings and predictions do not take each other's places.
        own = self._reserved[method]
        waiting = sum(call.method == method for call in self._waiting)
        waiting += 0 if method == "train" else ahead
        free = max(0, self._free_for(method) - (reserved - own))
        waiting += own - free
        if waiting + more >= self._max_queued:
            raise Unavailable(
                f"{waiting} calls wait for this model; try again later.",
                headers={"Retry-After": "1"},
            )

    def _ahead(self) -> int:
        return sum(slot.ahead for slot in self.pool.slots)

    def _drop_waiting(self, error: Unavailable) -> None:
        for call in self._waiting:
            call.resolve(error)
        self._waiting.clear()

    # -- dispatch

    def dispatch(self) -> None:
        """Give waiting calls to free slots, in order; ask for more slots if need be."""
        while self._free and self._waiting:
            slot = self._free[-1]  # its caches and its processor are warm
            first = self._next_call()
            if first is None or self._may_join(first):
                return
            if slot.batching is not None:
                calls = self._batch(first, slot.batching)
            elif len(self._waiting) == 1:
                calls = [first]
            else:
                calls = self._share(slot, len(self._free) - 1) or [first]
            if not calls:
                return
            self._free.pop()
            self._give(slot, calls)
        if self._waiting:
            self.pool.request(len(self._waiting))

    def _next_call(self) -> PendingCall | None:
        """Return the first call that may run; trainings leave slots for others."""
        first = next(iter(self._waiting))
        if not first.trains or self._free_for(first.method):
            return first
        return next((call for call in self._waiting if not call.trains), None)

    def _free_for(self, method: str) -> int:
        """Return how many calls of a method can begin now."""
        free = self.pool.free(len(self._free))
        if method != "train" or not self.pool.spared:
            return free
        trainings = sum(slot.trains for slot in self.pool.slots)
        # Those that are being replaced do not count: that may never end.
        warm = sum(slot.warm for slot in self.pool.slots)
        return max(0, min(free, warm - self.pool.spared - trainings))

    def _may_join(self, first: PendingCall) -> bool:
        """Tell whether a busy slot will take all waiting calls in a moment.

        Waking another one takes longer. Each would get so few calls at once that two
        slots would be slower than one.
        """
        slot = self._last
        if slot is None or not slot.given or slot.batching is not None or slot.streams:
            return False
        calls = len(slot.given) + len(self._waiting)
        if first.alone or calls > slot.room(JOIN_SECONDS):
            return False
        self._watch(MAX_JOIN_SECONDS)
        return True

    def _share(self, slot: Slot, free: int) -> list[PendingCall]:
        """Return the waiting calls that a slot may have, its fair share at most.

        While others are `free`, it has only what it will do in a moment.
        """
        fair = len(self._waiting) // max(1, self.pool.size - free)
        room = slot.room(JOIN_SECONDS if free else PREFETCH_SECONDS)
        count = min(room - len(slot.given), fair)
        return first_of(self._waiting, count) if count > 0 else []

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
        self.dispatch()

    def _give(self, slot: Slot, calls: Sequence[PendingCall]) -> None:
        for call in calls:
            del self._waiting[call]
        self._last = slot
        slot.send(calls)
        if slot.ahead:
            self._watch(MAX_BEGUN_SECONDS)

    def _watch(self, seconds: float) -> None:
        """Look for slots that are slower than expected in so many seconds."""
        loop = asyncio.get_running_loop()
        if self._watching is not None:
            if self._watching.when() <= loop.time() + seconds:
                return
            self._watching.cancel()
        self._watching = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Take back the calls behind one that takes longer than expected.

        Calls wait no longer for a slot that is slow. The answers that have come are
        read before a timer runs.
        """
        self._watching = None
        for slot in self.pool.slots:
            if slot.ahead and slot.since > MAX_BEGUN_SECONDS:
                self.reclaim(slot)
        if self._last is not None and self._last.since > MAX_JOIN_SECONDS:
            self._last = None
        self.dispatch()
        if self._ahead():
            self._watch(MAX_BEGUN_SECONDS)

    # -- calls that come back, time out, or lose their caller

    def _reclaim(self, slot: Slot) -> bool:
        """Let calls that a slot has not begun wait again, in the order they came in.

        Returns whether there were any.
        """
        calls = slot.reclaim()
        back = [call for call in calls if not call.outcome.done()]  # others have left
        if back:  # those of another slot may have come back before, and be older
            in_order = sorted([*back, *self._waiting], key=attrgetter("queued"))
            self._waiting = OrderedDict.fromkeys(in_order)
        return bool(calls)

    def _time_out(self, call: PendingCall) -> None:
        slot = call.slot
        if slot is not None and call in slot.given:
            self._reclaim(slot)
            if slot.ahead:  # it has begun another one: the answer is here
                self.dispatch()
                return
            self._waiting.pop(call, None)  # if it has not even begun this one
            slot.kill(ExitReason.TIMEOUT)
        call.resolve(CallTimeout(f"The model took longer than {call.timeout:g} s."))

    async def _abandon(self, call: PendingCall) -> None:
        """End a call whose caller has left, unless it may finish."""
        slot = call.slot
        if slot is not None and call in slot.given:
            self.reclaim(slot)  # it may not have begun
        slot = call.slot
        if slot is None:
            self._waiting.pop(call, None)
            call.end(LEFT)
            return
        call.renew()  # the slot may still answer
        # If it has begun another one, the answer is here.
        if not (call.finish or call.outcome.done() or slot.ahead):
            call.resolve(WorkerDied("The call was cancelled.", status=LEFT))
            await slot.destroy(ExitReason.CANCELLED)
        with contextlib.suppress(DeepaasError):
            await discard(await call.outcome)
