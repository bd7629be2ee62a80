"""A worker process as a slot: its calls, its answers and its output."""

import asyncio
import logging
import time
from collections.abc import Sequence

from deepaas.executors.base import Limits, Line, Printed, WorkerState, WorkerStatus
from deepaas.executors.calls import ExitReason, PendingCall
from deepaas.executors.connection import FrameConnection
from deepaas.executors.frames import Frame
from deepaas.executors.messages import (
    End,
    Loaded,
    Message,
    Piece,
    Raised,
    Ready,
    Reply,
    StartFailed,
    StreamBegan,
)
from deepaas.executors.output import HOST, OutputReader
from deepaas.executors.prefetch import Pace
from deepaas.executors.process import Launch, WorkerProcess
from deepaas.executors.process_tree import ended_with
from deepaas.executors.stream import ReplyStream
from deepaas.executors.workers import WorkerEvents, WorkerSlot
from deepaas.progress import Batch

logger = logging.getLogger(__name__)


class LocalWorker(WorkerSlot):
    """One worker process: its state, and the calls that it was given.

    It has more than 15 attributes because it joins five parts (process, tickets,
    connection, output, pace) with the state that they share.
    """

    def __init__(
        self,
        launch: Launch,
        events: WorkerEvents["LocalWorker"],
        limits: Limits,
        *,
        number: int = 0,
        gpu: str | None = None,
    ) -> None:
        """Start the process. Raises OSError where the machine can start no more."""
        super().__init__(launch.start.ref.name, number)
        self.pace = Pace(limits)
        self._events = events
        self.process = WorkerProcess(launch, gpu)
        self._tickets = self.process.tickets
        self._connection = FrameConnection(
            self.process.socket, self._on_frames, self._on_end
        )
        self._output = OutputReader(self.process.output, self._on_lines)
        self._connecting: asyncio.Task[None] | None = None

    # -- state

    @property
    def ahead(self) -> int:
        """Return how many calls it has not begun, as far as the server knows."""
        return max(0, len(self.given) - 1) if self.batching is None else 0

    @property
    def running(self) -> list[PendingCall]:
        """Return the calls that it has begun, as far as the server knows."""
        return list(self.given)[: len(self.given) - self.ahead]

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        return self.process.pid

    @property
    def calls(self) -> int:
        """Return how many calls it has answered."""
        return self.pace.calls

    def status(self, *, trains: bool) -> WorkerStatus:
        """Describe it; `trains` says what it was started for."""
        return WorkerStatus(
            state=self._state,
            pid=self.pid,
            calls=self.calls,
            since=self.since,
            memory=self.process.memory,
            host=HOST,
            trains=trains,
            gpu=self.process.gpu,
        )

    async def measure(self) -> int:
        """Measure the memory of its process; return the bytes."""
        return await asyncio.to_thread(self.process.measure)

    # -- from start to exit

    async def connect(self) -> None:
        """Hand it to the event loop, once, even if a caller is cancelled."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        self._output.watch()
        # The end of file may come after pieces of a stream whose reader is slow.
        self.process.watch(on_death=self._connection.resume)
        await self._connection.open()

    def kill(self, reason: ExitReason, words: str = "") -> None:
        """End the process and all that it started; the end of file follows."""
        self._connection.resume()  # to read the end of file
        self.process.kill(reason, words)

    async def destroy(self, reason: ExitReason) -> None:
        """Kill the process, and wait a moment until it is gone."""
        self.kill(reason)
        await self.process.wait_until_killed()

    async def end(self, grace: float) -> None:
        """Let the process exit by itself, within `grace` seconds.

        What it has started ends with it, those too that lead groups of their own.
        """
        await self.connect()
        loop = asyncio.get_running_loop()
        with ended_with(self.pid):
            killer = loop.call_later(grace, self.kill, ExitReason.EXIT)
            if not self.process.gone.is_set():
                self._tickets.end()
            await self.process.gone.wait()
            killer.cancel()

    async def collect(self) -> None:
        """Collect the dead process, and pass on the last that it printed."""
        await self.process.collect()
        self._output.close()
        self.process.gone.set()

    # -- calls

    def room(self, seconds: float) -> int:
        """Return how many calls it may have at once, to end them in so many seconds."""
        return 1 if self.batching is not None else self.pace.room(seconds)

    def send(self, calls: Sequence[PendingCall]) -> None:
        """Give it calls, together if it takes batches, else one after another.

        If it is busy they are ahead, and begin when it has answered others.
        """
        self._connection.write(b"".join([call.packed for call in calls]))
        for call in calls:
            call.slot = self
        together = self.batching is not None
        if together:
            calls[0].batch = len(calls)
        self._tickets.issue(len(calls), together=together)
        idle = not self.given
        self.given.extend(calls)
        if idle:
            self.state = WorkerState.BUSY
            for call in calls if together else calls[:1]:
                call.begin(self._since)

    def reclaim(self) -> list[PendingCall]:
        """Return, in order, the calls that it has not begun and now never will."""
        calls = [self.given.pop() for _ in range(self._tickets.reclaim())]
        if calls:
            self.pace.note_reclaim()
        for call in calls:
            call.requeue()
        if not self.given and self._state is WorkerState.BUSY:
            self.state = WorkerState.IDLE
        return calls[::-1]

    # -- answers

    def _on_frames(self, frames: list[Frame]) -> None:
        if len(self.given) > 1:
            self._output.read()  # while the calls that may have printed it are known
        before = self.pace.calls
        for frame in frames:
            self._take(*frame)
        if self.pace.calls > before:
            if not self.given:
                self.state = WorkerState.IDLE
            self._events.on_answered(self)

    def _take(self, message: Message, body: bytes | memoryview, seconds: float) -> None:
        call = self.current
        if call is None:
            self._take_start(message)
        elif isinstance(message, Reply):
            if message.path is None:  # _replace() takes four times as long
                message = Reply(message.media_type, body, None, *message[3:])
            self._finish(call, seconds).resolve(message)
        elif isinstance(message, Raised):
            self._finish(call, seconds).resolve(message.error())
        elif isinstance(message, End):
            self._finish(call, seconds).end_stream()
        elif isinstance(message, StreamBegan):
            self._begin_stream(call, message.media_type)
        elif isinstance(message, Piece) and call.stream is not None:
            call.stream.feed(body)
        elif isinstance(message, Batch) and call.on_event is not None:
            call.on_event(message)

    def _take_start(self, message: Message) -> None:
        if isinstance(message, Ready):
            self._output.drain()
            self.state = WorkerState.IDLE
            self.batching = message.batching
            self.description = message.description
            self.warmed = True
            self.process.step = ""
            self._events.on_ready(self)
        elif isinstance(message, Loaded):
            self.process.step = "warm"
        elif isinstance(message, StartFailed):
            self.process.failure = message.cause
            logger.debug("%s", message.traceback)

    def _finish(self, call: PendingCall, seconds: float) -> PendingCall:
        """Take a call that it has answered; it goes on with the next that it has."""
        if len(self.given) == 1:
            self._output.drain()  # while the call that printed it is known
        self.given.popleft()
        self.pace.note_answer(seconds)
        call.ran = seconds
        self._tickets.stream_ended()
        if self.given and self.batching is None:
            self._since = time.monotonic()
            self.given[0].begin(self._since)
        return call

    def _on_end(self) -> None:
        if self._state is not WorkerState.DEAD:
            self.state = WorkerState.DEAD
            self._events.on_exit(self)

    # -- streams

    def _begin_stream(self, call: PendingCall, media_type: str) -> None:
        def abandon() -> None:
            if self.current is not call or len(self.given) > 1:
                return  # it has ended
            if call.finish:
                self._tickets.stop_stream()
                self.process.interrupt()
            else:
                self.kill(ExitReason.CANCELLED)

        call.begin_stream(media_type, ReplyStream(self._pause, abandon))
        self._events.on_stream(self)

    def _pause(self, wait: bool) -> None:
        """Read no more, so that the worker has to wait, or read on."""
        if not wait:
            self._connection.resume()
        elif self.process.alive:
            self._connection.pause()

    # -- output

    def _on_lines(self, lines: list[str]) -> None:
        self.pace.note_output()
        if not lines:
            return
        label = ",".join(call.label for call in self.given)
        self._events.on_output(Printed(self.name, HOST, self.pid, label, lines))
        if self.current is not None and self.current.on_event is not None:
            for line in lines:
                self.current.on_event(Line(line))
