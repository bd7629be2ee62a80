"""A worker process in a place on a cluster, as a slot of the queue of its model."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from deepaas.errors import DeepaasError, WorkerDied
from deepaas.executors.base import Line, Printed, WorkerState, WorkerStatus
from deepaas.executors.calls import ExitReason, PendingCall
from deepaas.executors.frames import Frame, pack_call
from deepaas.executors.gateway_process import Link
from deepaas.executors.messages import Reply
from deepaas.executors.place_messages import (
    CallHead,
    DropUploads,
    EndWorker,
    Failed,
    KillWorker,
    Lines,
    MeasureWorker,
    PauseStream,
    Progress,
    Replied,
    RunCalls,
    StartWorker,
    StopStream,
    StreamEnded,
    StreamOpened,
    StreamPiece,
    WorkerExited,
    WorkerMeasured,
    WorkerStarted,
    WorkerWarm,
    Written,
)
from deepaas.executors.process import Launch
from deepaas.executors.remote_files import FileReceiver, FileSender, ReadyCall
from deepaas.executors.remote_process import RemoteProcess
from deepaas.executors.stream import ReplyStream
from deepaas.executors.uploads import CallFiles, has_files
from deepaas.executors.workers import WorkerEvents, WorkerSlot

logger = logging.getLogger(__name__)

MAX_KILL_SECONDS = 1.0
"""Seconds to wait for the end of a killed worker."""

HUNG_SECONDS = 10.0
"""Seconds after which a place that has not killed a worker is given up."""

MEASURE_SECONDS = 1.0
"""Seconds that a measurement may take; the last one counts then."""


class RemoteWorker(WorkerSlot):
    """One worker process in a place: its state, and the calls that it was given.

    It has more than 15 attributes because it joins the state of a slot with that of a
    link and of the files on their way.
    """

    def __init__(
        self,
        launch: Launch,
        link: Link,
        events: WorkerEvents["RemoteWorker"],
        *,
        number: int,
    ) -> None:
        """Order a process in the place; it starts when the place has begun."""
        super().__init__(launch.start.ref.name, number)
        self.calls = 0
        """Calls that it has answered."""
        self.link = link
        self.process = RemoteProcess()
        self._events = events
        self._id = next(link.numbers)
        self._calls: dict[int, PendingCall] = {}
        """Those that the place has, by their numbers."""
        self._transfers: dict[int, ReplyStream] = {}
        """Files on their way from the place."""
        self._returned: dict[int, FileReceiver] = {}
        """Files of calls that come from the place before the answers."""
        self._sender = FileSender(link.send)
        self._sending: asyncio.Task[None] | None = None
        self._measured = asyncio.Event()
        self._early: list[Frame | str] | None = []
        """Messages from before its pool waits; a text is the reason of its loss."""
        link.users[self._id] = self
        environment = dict(launch.environment)
        link.send(StartWorker(self._id, launch.start, environment, launch.folder))

    # -- state

    @property
    def ahead(self) -> int:
        """Return 0: one call, or one batch, is on its way to a place, and no more."""
        return 0

    @property
    def running(self) -> list[PendingCall]:
        """Return the calls that it has, with those whose files are on their way."""
        return list(self.given)

    @property
    def pid(self) -> int:
        """Return the number of its process on its node."""
        return self.process.pid

    @property
    def host(self) -> str:
        """Return its node; empty before it has one."""
        return self.link.facts.host if self.link.facts is not None else ""

    @property
    def _folder(self) -> str:
        return self.link.facts.folder if self.link.facts is not None else ""

    def status(self, *, trains: bool) -> WorkerStatus:
        """Describe it; `trains` says what it was started for."""
        return WorkerStatus(
            state=self._state,
            pid=self.pid,
            calls=self.calls,
            since=self.since,
            memory=self.process.memory,
            host=self.host,
            trains=trains,
            gpu=self.link.facts.gpu if self.link.facts is not None else None,
        )

    # -- from start to exit

    def kill(self, reason: ExitReason, words: str = "") -> None:
        """End the process and all that it started."""
        if self._state is WorkerState.DEAD:
            return
        waits = self.link.waits if self.link.facts is None else None
        if waits and words:
            words = f"{words}: {waits}"
        self.process.failure = self.process.failure or words or reason.value
        if self.link.facts is None:
            self.link.lose(self.process.failure)
        else:
            self.link.send(KillWorker(self._id, reason.name, words))
            loop = asyncio.get_running_loop()
            loop.call_later(HUNG_SECONDS, self._lose_hung)

    def _lose_hung(self) -> None:
        """Give up a place that has not killed its worker."""
        if self._state is not WorkerState.DEAD:
            self.link.lose(f"{self.process.failure}, and its place does not answer")

    async def connect(self) -> None:
        """Take the messages of the place from now on.

        The link is that of all models of a server, whose pools start in turn.
        """
        early, self._early = self._early or [], None
        for message in early:
            if isinstance(message, str):
                self.on_lost(message)
            else:
                self.on_frame(message)

    async def destroy(self, reason: ExitReason) -> None:
        """Kill the process, and wait a moment until it is gone."""
        self.kill(reason)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.process.gone.wait(), MAX_KILL_SECONDS)

    async def end(self, grace: float) -> None:
        """Let the process exit by itself, within `grace` seconds."""
        await self.connect()
        if self._state is WorkerState.DEAD:
            return
        if self.link.facts is None:
            self.kill(ExitReason.EXIT)
            return
        self.link.send(EndWorker(self._id, grace))
        try:
            limit = grace + MAX_KILL_SECONDS
            await asyncio.wait_for(self.process.gone.wait(), limit)
        except asyncio.TimeoutError:  # the node may hang
            self.link.lose(ExitReason.EXIT.value)

    async def collect(self) -> None:
        """There is nothing left to collect: the place has done it."""

    async def measure(self) -> int:
        """Measure the memory. Returns the last value if the place does not answer."""
        if self.warm:
            self._measured.clear()
            self.link.send(MeasureWorker(self._id))
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._measured.wait(), MEASURE_SECONDS)
        return self.process.memory

    def on_opened(self) -> None:
        """The place has begun, and starts the process."""

    def on_lost(self, words: str) -> None:
        """Note that the place is gone, and the process with it."""
        if self._early is not None:
            self._early.append(words)
            return
        self.process.note_loss(words)
        self._note_exit()

    def _note_exit(self) -> None:
        if self._state is WorkerState.DEAD:
            return
        self.state = WorkerState.DEAD
        self.link.users.pop(self._id, None)
        self._calls.clear()
        for stream in list(self._transfers.values()):
            stream.end(WorkerDied(f"The file was lost: {self.process.death()}."))
        self._transfers.clear()
        for receiver in self._returned.values():
            receiver.lose(WorkerDied("The worker died."))
        self._returned.clear()
        self._measured.set()
        self.process.gone.set()
        self._events.on_exit(self)

    # -- calls

    def room(self, seconds: float) -> int:
        """Return how many calls it may have at once: one, or one batch."""
        return 1

    def send(self, calls: Sequence[PendingCall]) -> None:
        """Give it calls, together if it takes batches; their files go first."""
        self.state = WorkerState.BUSY
        for call in calls:
            call.slot = self
        self.given.extend(calls)
        if self.batching is not None:
            calls[0].batch = len(calls)
        if any(has_files(call.call) for call in calls):
            self._sending = asyncio.create_task(self._send_files(list(calls)))
        else:
            numbers = self.link.numbers
            self._run([ReadyCall(next(numbers), call, call.packed) for call in calls])

    def _run(self, calls: Sequence[ReadyCall]) -> None:
        heads = []
        for number, call, packed, returned in calls:
            self._calls[number] = call
            name = ""
            if returned is not None:
                path, name = returned
                pause = partial(self._pause, number)
                self._returned[number] = FileReceiver(path, pause)
            size, asked = len(packed), call.call
            heads.append(
                CallHead(number, call.method, asked.reports, call.label, size, name)
            )
        packed = b"".join([each.packed for each in calls])
        self.link.send(RunCalls(self._id, heads), packed)
        self._since = time.monotonic()
        for each in calls:
            each.call.begin(self._since)

    def reclaim(self) -> list[PendingCall]:
        """Return, in order, the calls that it has not begun: those with files."""
        if self._sending is None:
            return []
        self._sending.cancel()
        self._sending = None
        calls = list(self.given)
        self.given.clear()
        for call in calls:
            call.requeue()
        if self._state is WorkerState.BUSY:
            self.state = WorkerState.IDLE
        return calls

    # -- the files of calls

    async def _send_files(self, calls: list[PendingCall]) -> None:
        """Write the files of calls on the node, then send the calls."""
        numbers = [next(self.link.numbers) for _ in calls]
        try:
            ready = []
            for call, number in zip(calls, numbers, strict=True):
                files = CallFiles(self._folder, number)
                packed = pack_call(files.moved_call(call.call))
                for path, name in files.sent:
                    await self._sender.send(number, path, name)
                ready.append(ReadyCall(number, call, packed, files.returned))
        except asyncio.CancelledError:
            for number in numbers:
                self.link.send(DropUploads(number))
            raise
        except OSError as error:
            self._sending = None
            words = f"An upload cannot be read: {error.strerror}"
            for call, number in zip(calls, numbers, strict=True):
                self.link.send(DropUploads(number))
                self.given.remove(call)
                call.resolve(DeepaasError(words))
            self._note_answer()
        else:
            self._sending = None
            self._run(ready)

    def _take_returned(
        self, number: int, message: Any, body: bytes | memoryview, seconds: float
    ) -> None:
        """Take a piece of a file that a call returns, or, after it, the answer."""
        if isinstance(message, StreamPiece):
            self._returned[number].feed(body)
            return

        def take_answer(failed: DeepaasError | None) -> None:
            if self._returned.pop(number, None) is None:
                return  # the worker has died
            answer = message
            if failed is not None:
                kind, text, status = type(failed).__name__, str(failed), failed.status
                answer = Failed(number, kind, text, "", status)
            self._take(number, answer, body, seconds)

        self._returned[number].end(take_answer)

    # -- messages

    def on_frame(self, frame: Frame) -> None:
        """Take a message of the place."""
        if self._early is not None:
            self._early.append(frame)
            return
        message, body, seconds = frame
        if (number := getattr(message, "call", None)) is not None:
            self._take(number, message, body, seconds)
        elif isinstance(message, Lines):
            self._on_lines(message)
        elif isinstance(message, WorkerStarted):
            self.process.pid = message.pid
        elif isinstance(message, WorkerWarm):
            self.state = WorkerState.IDLE
            self.batching = message.batching
            self.description = message.description
            self.warmed = True
            self._events.on_ready(self)
        elif isinstance(message, WorkerMeasured):
            self.process.memory = message.memory
            self._measured.set()
        elif isinstance(message, WorkerExited):
            self.process.note_exit(message)
            self._note_exit()

    def _take(
        self, number: int, message: Any, body: bytes | memoryview, seconds: float
    ) -> None:
        if isinstance(message, Written):
            self._sender.note_written(number)
        elif (stream := self._transfers.get(number)) is not None:
            self._take_file(number, stream, message, body)
        elif (call := self._calls.get(number)) is None:
            return
        elif number in self._returned:
            self._take_returned(number, message, body, seconds)
        elif isinstance(message, Replied):
            self._finish(number, call, seconds)
            self._resolve(number, call, message, body)
            self._note_answer()
        elif isinstance(message, Failed):
            self._finish(number, call, seconds).resolve(message.error())
            self._note_answer()
        elif isinstance(message, StreamEnded):
            self._finish(number, call, seconds).end_stream()
            self._note_answer()
        elif isinstance(message, StreamOpened):
            call.begin_stream(message.media_type, self._stream(number, call))
            self._events.on_stream(self)
        elif isinstance(message, StreamPiece) and call.stream is not None:
            call.stream.feed(body)
        elif isinstance(message, Progress) and call.on_event is not None:
            call.on_event(message.batch)

    def _finish(self, number: int, call: PendingCall, seconds: float) -> PendingCall:
        del self._calls[number]
        self.given.remove(call)
        self.calls += 1
        call.ran = seconds
        return call

    def _note_answer(self) -> None:
        if not self.given:
            self.state = WorkerState.IDLE
            self._events.on_answered(self)

    # -- streams and files

    def _stream(self, number: int, call: PendingCall) -> ReplyStream:
        def abandon() -> None:
            if call not in self.given:
                return
            if call.finish:
                self.link.send(StopStream(number))
            else:
                self.kill(ExitReason.CANCELLED)

        return ReplyStream(lambda wait: self._pause(number, wait), abandon)

    def _resolve(
        self, number: int, call: PendingCall, message: Replied, body: bytes | memoryview
    ) -> None:
        kind, name, size = message.media_type, message.filename, message.size
        if size is None:
            call.resolve(Reply(kind, body, filename=name))
            return

        def abandon() -> None:
            self.link.send(StopStream(number))

        stream = ReplyStream(lambda wait: self._pause(number, wait), abandon)
        self._transfers[number] = stream
        if call.outcome.done() and not call.outcome.cancelled():
            abandon()  # it has run out of time, and has no reader
        call.resolve(Reply(kind, stream=stream, filename=name, size=size))

    def _take_file(
        self, number: int, stream: ReplyStream, message: Any, body: bytes | memoryview
    ) -> None:
        if isinstance(message, StreamPiece):
            stream.feed(body)
            return
        del self._transfers[number]
        stream.end(message.error() if isinstance(message, Failed) else None)

    def _pause(self, number: int, wait: bool) -> None:
        self.link.send(PauseStream(number, wait))

    # -- output

    def _on_lines(self, message: Lines) -> None:
        label, lines = message.label, message.lines
        printed = Printed(self.name, self.host, self.pid, label, lines)
        self._events.on_output(printed)
        if self.current is not None and self.current.on_event is not None:
            for line in lines:
                self.current.on_event(Line(line))
