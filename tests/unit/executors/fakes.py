"""Slots and a pool without processes, and an event loop whose time stands still.

A fake slot does what a worker does as the queue sees it: it takes the tickets of its
calls when it is told to, ends them when it is told to, and the queue hears of that
later. So each moment between two messages can be tried.
"""

import asyncio
import contextlib
import types
from collections import Counter, deque
from unittest import mock

from deepaas.errors import WorkerDied
from deepaas.executors import WorkerState, WorkerStatus
from deepaas.executors import calls as calls_module
from deepaas.executors import queue as queue_module
from deepaas.executors.messages import Reply
from deepaas.executors.prefetch import PREFETCH_SECONDS
from deepaas.executors.queue import Queue
from deepaas.executors.stream import ReplyStream


class Loop(asyncio.SelectorEventLoop):
    """Its time passes only when it is told to.

    A test is a part of one long turn of it, so that it can call what needs a loop.
    """

    now = 1000.0

    def time(self):
        return self.now

    def turn(self, count=6):
        """Run what is ready, and what that makes ready."""
        asyncio._set_running_loop(None)
        for _ in range(count):
            self.call_soon(self.stop)
            self.run_forever()
        asyncio._set_running_loop(self)

    def pass_time(self, seconds):
        self.now += seconds
        self.turn()

    def timers(self):
        return [each for each in self._scheduled if not each.cancelled()]


@contextlib.contextmanager
def still_loop():
    """A loop, and the queue's clock with it."""
    loop = Loop()
    clock = types.SimpleNamespace(monotonic=loop.time)
    with (
        mock.patch.object(calls_module, "time", clock),
        mock.patch.object(queue_module, "time", clock),
    ):
        asyncio._set_running_loop(loop)
        try:
            yield loop
        finally:
            asyncio._set_running_loop(None)
            loop.close()


class FakeSlot:
    """A worker that does one step when it is told to."""

    def __init__(self, pool, batching=None, room=4, quick=False):
        self.pool = pool
        self.description = None
        self.batching = batching
        self.given = deque()
        self.warm = False
        self.dead = False
        self.begun = []
        """Calls whose tickets the worker has taken, in order."""
        self.unread = deque()
        """Answers that the server has not read, each with its call."""
        self.computing = []
        self.may_have = room
        self.quick = quick
        """It ends all that it may have in a moment."""
        self.changed = pool.loop.now

    @property
    def idle(self):
        return self.warm and not self.given

    @property
    def trains(self):
        return bool(self.given) and self.given[0].trains

    @property
    def streams(self):
        return bool(self.given) and self.given[0].stream is not None

    @property
    def ahead(self):
        return max(0, len(self.given) - 1) if self.batching is None else 0

    @property
    def running(self):
        return list(self.given)[: len(self.given) - self.ahead]

    @property
    def since(self):
        return self.pool.loop.now - self.changed

    def room(self, seconds):
        if self.batching is not None:
            return 1
        return self.may_have if self.quick or seconds >= PREFETCH_SECONDS else 0

    def send(self, calls):
        assert not self.dead
        idle = not self.given
        for call in calls:
            call.slot = self
        self.given.extend(calls)
        if idle:
            self.changed = self.pool.loop.now
            for call in self.running:
                call.begin(self.changed)

    def reclaim(self):
        keep = len(self.unread) + len(self.computing)
        calls = [self.given.pop() for _ in range(len(self.given) - keep)]
        for call in calls:
            call.requeue()
        return calls[::-1]

    def kill(self, reason):
        self.pool.reasons.append(reason)
        self.pool.loop.call_soon(self.pool.lose, self)

    async def destroy(self, reason):
        self.kill(reason)
        await asyncio.sleep(0)

    # -- what the worker does

    def take(self):
        """Take a ticket, and begin what it permits."""
        rest = list(self.given)[len(self.unread) :]
        if not self.dead and not self.computing and rest:
            self.computing = rest if self.batching is not None else rest[:1]
            self.begun += self.computing
            self.pool.begun += [call.call.kwargs["n"] for call in self.computing]

    def finish(self, error=None):
        """Answer what it has begun."""
        for call in self.computing:
            self.unread.append(
                error or Reply("text/plain", b"%d" % call.call.kwargs["n"])
            )
        self.computing = []

    def deliver(self):
        """Let the server read what was answered."""
        if self.dead or not self.unread:
            return
        while self.unread:
            answer = self.unread.popleft()
            call = self.given.popleft()
            if self.given and self.batching is None:
                self.changed = self.pool.loop.now
                self.given[0].begin(self.changed)
            call.end_stream() if call.stream else call.resolve(answer)
        self.pool.on_answered(self)

    def stream(self):
        """Begin a stream, as the server reads it at once."""
        if self.computing and self.batching is None and not self.unread:
            [call] = self.computing
            if call.stream is None and not self.dead:
                call.begin_stream(
                    "text/plain", ReplyStream(lambda wait: None, self.stop)
                )
                self.pool.queue.reclaim(self)

    def stop(self):
        """End the stream whose reader has left."""

        def end():
            self.finish()
            self.deliver()

        self.pool.loop.call_soon(end)


class FakePool:
    """A pool of fake slots: those that are lost are replaced when it is told to."""

    model = "m"

    def __init__(self, loop, size, *, max_queued=1000, batching=None, quick=False):
        self.loop = loop
        self.size = size
        self.spared = 1 if size > 1 else 0
        self.batching = batching
        self.quick = quick
        self.replaced = Counter()
        self.reasons = []
        self.begun = []
        """Numbers of the calls that were begun, in order."""
        self.stopped = self.closed = False
        self.slots = []
        Queue(self, max_queued)  # sets self.queue

    def launch(self):
        self.slots = [self._new() for _ in range(self.size)]

    def _new(self):
        return FakeSlot(self, self.batching, quick=self.quick)

    async def start(self):
        self.launch()
        self.warm_all()

    def warm_all(self):
        for slot in self.slots:
            if not slot.warm and not slot.dead:
                slot.warm = True
                self.release(slot)

    def pack(self, call):
        return bytes(call.kwargs.get("size", 1))

    def free(self, offered):
        return offered

    def request(self, waiting):
        pass

    def release(self, slot):
        self.queue.offer(slot)

    def on_answered(self, slot):
        if slot.given:
            self.queue.advance(slot)
        else:
            self.release(slot)

    def lose(self, slot):
        """Let a worker die: what it has answered is read first."""
        if slot.dead:
            return
        slot.deliver()
        slot.dead, slot.warm = True, False
        self.queue.note_lost("it was lost")
        self.queue.withdraw(slot)
        self.queue.fail_begun(slot, WorkerDied("lost"))
        self.replaced["died"] += 1
        if not self.stopped:
            self.slots[self.slots.index(slot)] = self._new()

    def statuses(self):
        return [WorkerStatus(WorkerState.IDLE, 0, 0, 0.0) for _ in self.slots]

    async def measure(self):
        pass

    def stop(self):
        self.stopped = True

    async def close(self):
        self.closed = True
        for slot in list(self.slots):
            self.lose(slot)
