"""A worker process as a slot: its calls, its answers and its output."""

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

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
from deepaas.executors.output import OutputReader
from deepaas.executors.prefetch import Pace
from deepaas.executors.process import Launch, WorkerProcess
from deepaas.executors.process_tree import ended_with
from deepaas.executors.stream import ReplyStream
from deepaas.model.loading import Batching
from deepaas.progress import Batch

logger = logging.getLogger(__name__)

HOST = socket.gethostname()


class WorkerEvents(Protocol):
    """The events of a worker, for its pool. They come on the event loop."""

    def on_ready(self, worker: "LocalWorker") -> None:
        """It has warmed its model, and is idle."""

    def on_answered(self, worker: "LocalWorker") -> None:
        """It has answered calls; it goes on with the next one, or is idle."""

    def on_stream(self, worker: "LocalWorker") -> None:
        """It has begun a stream, which may take long."""

    def on_exit(self, worker: "LocalWorker") -> None:
        """Its socket has ended, so it is dead or dies; it must be given no calls."""

    def on_output(self, printed: Printed) -> None:
        """It has printed lines, in a call or outside of one."""


class LocalWorker:
    """One worker process: its state, and the calls that it was given.

    It has more than 15 attributes because it joins five parts (process, tickets,
    connection, output, pace) with the state that they share.
    """

    def __init__(
        self,
        launch: Launch,
        events: WorkerEvents,
        limits: Limits,
        *,
        number: int = 0,
        gpu: str | None = None,
    ) -> None:
        """Start the process. Raises OSError where the machine can start no more."""
        self.name = launch.start.ref.name
        self.number = number
        """Its number among the workers of the model; a replacement inherits it."""
        self.batching: Batching | None = None
        self.description: bytes | None = None
        """The packed ModelDescription that it sent; None if it was not asked for."""
        self.given: deque[PendingCall] = deque()
        self.warmed = False
        """It has warmed its model; it may be dead by now."""
        self.retired = False
        """It was told to exit: its exit is not a failure."""
        self.pace = Pace(limits)
        self._state = WorkerState.STARTING
        self._since = time.monotonic()
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
    def state(self) -> WorkerState:
        """Return its state."""
        return self._state

    @state.setter
    def state(self, state: WorkerState) -> None:
        self._state = state
        self._since = time.monotonic()

    @property
    def warm(self) -> bool:
        """Tell whether it can run more calls, now or after those that it has."""
        return self.warmed and not self.retired and self._state is not WorkerState.DEAD

    @property
    def idle(self) -> bool:
        """Tell whether it is warm and has no calls."""
        return self._state is WorkerState.IDLE

    @property
    def trains(self) -> bool:
        """Tell whether it runs a training."""
        return bool(self.given) and self.given[0].trains

    @property
    def streams(self) -> bool:
        """Tell whether it sends a stream."""
        return bool(self.given) and self.given[0].stream is not None

    @property
    def since(self) -> float:
        """Return the seconds since its state changed, or it began another call."""
        return time.monotonic() - self._since

    @property
    def current(self) -> PendingCall | None:
        """Return the call that it answers next."""
        return self.given[0] if self.given else None

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
            for call in self.running:
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
        before = self.calls
        for frame in frames:
            self._take(*frame)
        if self.calls > before:
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
