"""A second executor, which computes in a thread of the server's process.

It shows that the queue needs no processes. It cannot end a call that runs, and does not
read what the model prints.
"""

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deepaas import progress
from deepaas.errors import ModelRaised, StartError, authors_errors
from deepaas.executors import WorkerState, WorkerStatus
from deepaas.executors.describer import Describer
from deepaas.executors.executor import QueuedExecutor
from deepaas.executors.frames import pack
from deepaas.executors.host import ModelHost, Yields, describe
from deepaas.executors.messages import Envelope, Raised
from deepaas.executors.process_tree import resident
from deepaas.executors.queue import Queue
from deepaas.executors.stream import ReplyStream
from deepaas.model.adapter import ModelAdapter


def inline_executor(ref, limits):
    return QueuedExecutor(Queue(InlinePool(ref), limits.max_queued))


class InlinePool:
    """One slot: a thread that has loaded the model."""

    size, spared = 1, 0

    def __init__(self, ref):
        self._ref = ref
        self.model = ref.name
        self.slots = [InlineSlot(self)]
        self.replaced = Counter()
        self.threads = ThreadPoolExecutor(1)
        self.memory = 0

    def launch(self):
        pass

    async def start(self):
        self.loop = asyncio.get_running_loop()
        try:
            self.host = await self.loop.run_in_executor(self.threads, self._load)
        except authors_errors() as error:
            message = f"The model {self.model!r} cannot be served: {describe(error)}"
            raise StartError(message) from error
        self.slots[0].warm = True
        self.queue.note_description(self.description)
        self.queue.offer(self.slots[0])

    def _load(self):
        # Another executor of this process may have imported the file.
        sys.modules.pop(Path(self._ref.target).stem, None)
        adapter = ModelAdapter(self._ref)
        self.description = adapter.describe().pack()
        host = ModelHost(
            adapter.model,
            envelope=Envelope.NONE,
            describer=lambda: Describer(adapter),
        )
        host.warm()
        return host

    def pack(self, call):
        try:
            return pack(call)  # as if it were sent: no caller sees what the model does
        except Exception as error:
            raise ModelRaised(f"An argument cannot be sent: {error}") from error

    def free(self, offered):
        return offered

    def request(self, waiting):
        pass

    def release(self, slot):
        self.queue.offer(slot)

    def statuses(self):
        return [slot.status() for slot in self.slots]

    async def measure(self):
        self.memory = await asyncio.to_thread(resident, os.getpid())

    def stop(self):
        pass

    async def close(self):
        await asyncio.to_thread(self.threads.shutdown)


class InlineSlot:
    """Runs one call at a time; the thread tells the event loop of its end."""

    batching, ahead = None, 0

    def __init__(self, pool):
        self._pool = pool
        self._calls = 0
        self._stop = threading.Event()
        self.given = deque()
        self.warm = False
        self.since = 0.0

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
    def running(self):
        return list(self.given)

    def status(self):
        state = WorkerState.BUSY if self.given else WorkerState.IDLE
        memory = self._pool.memory
        return WorkerStatus(state, os.getpid(), self._calls, 0.0, memory, "here")

    def room(self, seconds):
        return 1

    def send(self, calls):
        [call] = calls
        call.slot = self
        self.given.append(call)
        self._stop.clear()
        call.begin(time.monotonic())
        self._pool.threads.submit(self._work, call)

    def reclaim(self):
        return []  # what it has is begun

    def kill(self, reason):
        self._stop.set()

    async def destroy(self, reason):
        self._stop.set()

    def _work(self, call):
        def report(batch):
            self._tell(call.on_event, batch)

        reports = call.call.reports
        with progress.recorded(report) if reports else contextlib.nullcontext():
            answer = self._pool.host.call(call.call)
        if isinstance(answer, Yields):
            answer = self._stream(call, answer)
        self._tell(self._finish, call, answer)

    def _tell(self, function, *args):
        self._pool.loop.call_soon_threadsafe(function, *args)

    def _stream(self, call, yields):
        stream = ReplyStream(lambda wait: None, self._stop.set)
        self._tell(call.begin_stream, yields.media_type, stream)
        try:
            for item in yields.items:
                self._tell(stream.feed, yields.encode(item))
                if self._stop.is_set():
                    break
        except authors_errors() as error:
            return describe(error)
        finally:
            yields.close()
        return None

    def _finish(self, call, answer):
        self.given.popleft()
        self._calls += 1
        if answer is None:
            call.end_stream()
        else:
            call.resolve(answer.error() if isinstance(answer, Raised) else answer)
        self._pool.release(self)
