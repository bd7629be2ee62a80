"""One worker process as the parent sees it: its socket, its output, its state."""

import asyncio
import contextlib
import enum
import logging
import math
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from deepaas.errors import DeepaasError
from deepaas.executors import (
    Began,
    Ended,
    Event,
    Line,
    Reply,
    WorkerState,
    WorkerStatus,
)
from deepaas.executors.family import descendants, ended_with
from deepaas.executors.messages import (
    HEADER,
    TICKET,
    End,
    Message,
    Piece,
    Raised,
    Ready,
    Start,
    StreamBegan,
    pack,
    unpack,
)
from deepaas.executors.replies import remove_unfinished
from deepaas.executors.stream import ReplyStream
from deepaas.model.loading import Batching
from deepaas.progress import Batch

logger = logging.getLogger(__name__)

RECEIVE = 65536
"""Bytes read at once; a larger frame is read into memory of its own."""

LONGEST_LINE = 8192
"""Bytes after which a line of a model's output is cut in two."""

KILL_GRACE = 0.5
"""Seconds that one waits for a killed process to be gone."""

LINE_END = re.compile(rb"(\r\n|\n|\r)")
"""The end of a line; a progress bar's carriage return is one too."""

BURST = 100
"""Lines at once from which they share one record of the log."""


class Killed(enum.Enum):
    """Why a worker is killed, in words for the log."""

    CANCELLED = "its call was cancelled"
    TIMEOUT = "its call took too long"
    WARMING = "it was not warm in time"
    STOPPING = "the server is stopping"
    EXIT = "it did not exit"


def _retrieve(outcome: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining of an error that nobody asks for."""
    if not outcome.cancelled():
        outcome.exception()


def _pipe(
    reader: contextlib.ExitStack, writer: contextlib.ExitStack
) -> tuple[int, int]:
    """Make a pipe, each end of which is closed with a stack."""
    ends = os.pipe()
    for stack, end in zip((reader, writer), ends, strict=True):
        stack.callback(os.close, end)
    return ends


def _sockets(
    one: contextlib.ExitStack, other: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    """Make a pair of sockets, each of which is closed with a stack."""
    ends = socket.socketpair()
    for stack, end in zip((one, other), ends, strict=True):
        stack.enter_context(end)
    return ends


class PendingCall:
    """A call on its way: waiting, or running in `worker`."""

    __slots__ = (
        *("began", "ended", "finish", "frame", "label", "method", "on_end"),
        *("on_event", "outcome", "queued", "stream", "timeout", "timer", "worker"),
        *("alone", "batch", "ran"),
    )

    def __init__(
        self,
        frame: bytes,
        *,
        method: str,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        alone: bool = True,
        on_event: Callable[[Event], None] | None = None,
        on_end: Callable[[Ended], None] | None = None,
    ) -> None:
        self.frame = frame
        self.finish = finish
        """The model may finish when the caller has left."""
        self.method = method
        self.timeout = timeout
        self.label = label
        """What the model prints meanwhile is logged under it."""
        self.alone = alone
        """It is not to be taken together with others."""
        self.batch: int | None = None
        """The size of the batch that it leads, if the model takes batches."""
        self.on_event = on_event
        self.on_end = on_end
        """None when it has been called."""
        self.queued = time.monotonic()
        self.began: float | None = None
        """When the model began, by the same clock, as far as one knows here."""
        self.ran: float | None = None
        """Seconds that the model took, by the worker's clock."""
        self.outcome: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] | None = None
        """Set when it is over, if someone waits for that."""
        self.stream: ReplyStream | None = None
        """Set when the outcome is a stream, which then ends the call."""
        self.worker: Worker | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def trains(self) -> bool:
        return self.method == "train"

    def begin(self, now: float) -> None:
        """The model is about to begin it."""
        self.began = now
        if self.on_event is not None:
            self.on_event(Began())

    def resolve(self, result: Reply | DeepaasError) -> None:
        """Give the caller its answer, once."""
        if self.timer is not None:
            self.timer.cancel()
        self.end(result.status if isinstance(result, DeepaasError) else 200)
        if self.stream is not None and isinstance(result, DeepaasError):
            self.stream.end(result)
        self.renew()
        if self.outcome.done():
            return
        if isinstance(result, DeepaasError):
            self.outcome.set_exception(result)
        else:
            self.outcome.set_result(result)

    def begin_stream(self, media_type: str, stream: ReplyStream) -> None:
        """Give the caller a stream; `resolve` ends it."""
        self.stream = stream
        reply = Reply(media_type, stream=stream)
        self.renew()
        if self.outcome.done():  # it has run out of time just now
            stream.end()
        else:
            self.outcome.set_result(reply)

    def renew(self) -> None:
        """Have an outcome again, for whoever tidies up, if the caller has left."""
        if self.outcome.cancelled():
            self.outcome = asyncio.get_running_loop().create_future()
            self.outcome.add_done_callback(_retrieve)

    def end_stream(self) -> None:
        """The stream is whole, or as long as it was wanted."""
        if self.timer is not None:
            self.timer.cancel()
        self.end(200)
        if self.stream is not None:
            self.stream.end()

    def end(self, status: int) -> None:
        """Tell, once, that it is over."""
        on_end, self.on_end = self.on_end, None
        if on_end is None:
            return
        took, ran = time.monotonic() - self.queued, self.ran
        if ran is None and self.began is not None:
            ran = self.queued + took - self.began
        waited = max(0.0, took - (ran or 0))
        event = Ended(self.method, status, waited, ran, self.batch)
        on_end(event)
        if self.on_event is not None:
            self.on_event(event)
        if self.ended is not None:
            self.ended.set_result(None)

    async def over(self) -> None:
        """Wait until it is over."""
        if self.on_end is not None:
            self.ended = asyncio.get_running_loop().create_future()
            await self.ended


class Worker(asyncio.BufferedProtocol):
    """One worker process: its socket, its state, and the calls that it was given."""

    def __init__(
        self,
        start: Start,
        on_change: Callable[["Worker"], None],
        *,
        place: int = 0,
        gpu: str | None = None,
    ) -> None:
        self.name = start.ref.name
        self.place = place
        """Its number among the workers of the model; a replacement inherits it."""
        self.gpu = gpu
        self._state = WorkerState.STARTING
        self._since = time.monotonic()
        self.batching: Batching | None = None
        """How many calls it takes at once, when it is ready; None for one."""
        self.given: deque[PendingCall] = deque()
        """Calls that it has, in the order in which it answers them."""
        self.calls = 0
        self.pace = math.inf
        """Seconds that the last call took; infinite if the next may be unlike it."""
        self.quiet = 0
        """Calls since it has printed something."""
        self._sent = 0
        """Calls that were ever sent to it."""
        self._stopping = False
        """It has been told to stop its stream."""
        self.ready = False
        self.failure: str | None = None
        """Why it did not start, or why it was killed."""
        self._killed: Killed | None = None
        self.gone = asyncio.Event()
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._received = bytearray(RECEIVE)
        self._filled = 0
        self._target: mmap.mmap | None = None
        """Memory for a large frame: the kernel clears it page by page as it comes."""
        self._line = bytearray()
        self._connecting: asyncio.Task[None] | None = None
        self._death: int | None = None
        """A descriptor that is readable when the process is dead."""
        self._launch(start)

    # -- the process

    def _launch(self, start: Start) -> None:
        """Start the process: a leader of its own group, with one end of everything.

        Raises OSError where the machine has no more processes, memory or descriptors.
        """
        # The worker imports what the server would, whatever folder it starts in.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from deepaas.executors.worker import main; main()"
        )
        environment = dict(os.environ)
        if self.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self._socket, connection = _sockets(ours, theirs)
            self._tickets, self._untaken = _sockets(ours, ours)
            lifeline, self._lifeline = _pipe(theirs, ours)
            self._output, output = _pipe(ours, theirs)
            inherited = (connection.fileno(), self._untaken.fileno(), lifeline)
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, inherited)],
                pass_fds=inherited,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
            ours.callback(self.process.wait)
            ours.callback(self.process.kill)
            self._death = os.pidfd_open(self.process.pid)
            ours.pop_all()
        os.set_blocking(self._output, False)
        self._socket.sendall(pack(start))

    @property
    def state(self) -> WorkerState:
        return self._state

    @state.setter
    def state(self, state: WorkerState) -> None:
        self._state = state
        self._since = time.monotonic()

    @property
    def alive(self) -> bool:
        """It is warm, and can be called or is."""
        return self.ready and self.state is not WorkerState.DEAD

    @property
    def trains(self) -> bool:
        """It is busy with a training."""
        return bool(self.given) and self.given[0].trains

    @property
    def streams(self) -> bool:
        """It is busy with a stream."""
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
        """Return how many calls it has that, as far as one knows, it has not begun."""
        return max(0, len(self.given) - 1) if self.batching is None else 0

    @property
    def running(self) -> list[PendingCall]:
        """Return the calls that it has begun, as far as one knows."""
        return list(self.given)[: len(self.given) - self.ahead]

    @property
    def pid(self) -> int:
        return self.process.pid

    async def connect(self) -> None:
        """Hand the socket to the event loop, once, even if a caller is cancelled."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        loop.add_reader(self._output, self._read_output)
        assert self._death is not None
        loop.add_reader(self._death, self._read_to_end)
        await loop.create_unix_connection(lambda: self, sock=self._socket)

    def kill(self, why: Killed, words: str = "") -> None:
        """End the process and all that it started; the end of file follows."""
        if self.process.returncode is None:
            self._pause(False)  # to read the end of file
            self.failure = self.failure or words or why.value
            self._killed = self._killed or why
            strays = descendants(self.pid)  # some may lead groups of their own
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            for pid in strays:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    async def destroy(self, why: Killed) -> None:
        """End it, and wait until it is gone: a moment, if the kernel lets go of it."""
        self.kill(why)
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.gone.wait(), KILL_GRACE)

    async def end(self, grace: float) -> None:
        """Let the process exit by itself, within `grace` seconds.

        What it has started ends with it, those too that lead groups of their own.
        """
        await self.connect()
        loop = asyncio.get_running_loop()
        with ended_with(self.pid):
            killer = loop.call_later(grace, self.kill, Killed.EXIT)
            if not self.gone.is_set():
                self._tickets.shutdown(socket.SHUT_WR)
            await self.gone.wait()
            killer.cancel()

    async def reap(self) -> None:
        """Collect the dead process, and end what is left of its group.

        Its number stays taken until it is collected, so the group is the right one.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self._clear_up)
        os.close(self._lifeline)
        self._forget_death()
        asyncio.get_running_loop().remove_reader(self._output)
        self._drain_output()
        os.close(self._output)
        self._tickets.close()
        self._untaken.close()
        self.gone.set()

    def _clear_up(self) -> None:
        self.process.wait()
        with contextlib.suppress(OSError):
            remove_unfinished(self.pid)

    # -- what it is told

    def send(self, calls: Sequence[PendingCall]) -> None:
        """Give it calls: together if its model takes batches, else one after another.

        If it is busy it has them ahead, and begins them when it has answered others.
        """
        assert self._transport is not None
        self._transport.write(b"".join([call.frame for call in calls]))
        first, size = self._sent, len(calls)
        self._sent += size
        for call in calls:
            call.worker = self
        if self.batching is not None:
            calls[0].batch = size
            self._tickets.send(TICKET.pack(first, size))
        else:
            numbers = range(first, first + size)
            self._tickets.send(b"".join([TICKET.pack(n, 1) for n in numbers]))
        idle = not self.given
        self.given.extend(calls)
        if idle:
            self.state = WorkerState.BUSY
            for call in self.running:
                call.begin(self._since)

    def take_back(self) -> list[PendingCall]:
        """Return, in order, the calls that it has not begun, and now never will.

        If there are any, its pace is not known until its next answer; it is idle if it
        has begun none.
        """
        if self._stopping:
            return []  # nothing was sent since, and the ticket is not a call's
        tickets = b""
        with contextlib.suppress(OSError):  # there are none, or it is gone
            tickets = self._untaken.recv(RECEIVE, socket.MSG_DONTWAIT)
        count = sum(size for _, size in TICKET.iter_unpack(tickets))
        calls = [self.given.pop() for _ in range(count)]
        if calls:
            self.pace = math.inf
        for call in calls:
            call.worker = call.began = call.batch = None
            if call.timer is not None:
                call.timer.cancel()
                call.timer = None
        if not self.given and self.state is WorkerState.BUSY:
            self.state = WorkerState.IDLE
        return calls[::-1]

    # -- what it says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(
            asyncio.Transport, transport
        )  # uvloop's is no child of it

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = self._received if self._target is None else self._target
        return memoryview(buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if len(self.given) > 1:
            self._read_output()  # while it is known whose it may be
        before = self.calls
        for message, body, seconds in self._take_frames():
            self._hear(message, body, seconds)
        if self.calls > before:
            if not self.given:
                self.state = WorkerState.IDLE
            self._on_change(self)
        self._make_room()

    def _take_frames(self) -> list[tuple[Message, bytes | memoryview, float]]:
        """Take the whole frames from what was received: each with its seconds."""
        view = memoryview(self._received if self._target is None else self._target)
        frames: list[tuple[Message, bytes | memoryview, float]] = []
        start = 0
        while self._filled - start >= HEADER.size:
            code, head, size, seconds = HEADER.unpack_from(view, start)
            middle = start + HEADER.size + head
            end = middle + size
            if end > self._filled:
                break
            message = unpack(code, view[start + HEADER.size : middle])
            body = bytes(view[middle:end]) if self._target is None else view[middle:]
            frames.append((message, body, seconds))
            start = end
        self._filled -= start
        if start and self._target is not None:
            self._target = None
        elif start and self._filled:
            view[: self._filled] = view[start : start + self._filled]
        return frames

    def _make_room(self) -> None:
        """Get memory for a large frame that has begun to come."""
        if self._target is None and self._filled >= HEADER.size:
            _, head, size, _ = HEADER.unpack_from(self._received)
            whole = HEADER.size + head + size
            if whole > len(self._received):
                self._target = mmap.mmap(-1, whole)
                self._target[: self._filled] = self._received[: self._filled]

    def _hear(self, message: Message, body: bytes | memoryview, seconds: float) -> None:
        call = self.current
        if call is None:
            self._hear_of_start(message)
        elif isinstance(message, Reply):
            reply = message._replace(body=body) if message.path is None else message
            self._finish(call, seconds).resolve(reply)
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

    def _hear_of_start(self, message: Message) -> None:
        if isinstance(message, Ready):
            self._drain_output()
            self.state = WorkerState.IDLE
            self.batching = message.batching
            self.ready = True
            self._on_change(self)
        elif isinstance(message, Raised):
            self.failure = str(message)
            logger.debug("%s", message.traceback)

    def _finish(self, call: PendingCall, seconds: float) -> PendingCall:
        """Take a call that it has answered; it goes on with the next that it has."""
        if len(self.given) == 1:
            self._drain_output()  # while it is known whose it is
        self.given.popleft()
        self.calls += 1
        self.quiet += 1
        self.pace = call.ran = seconds
        self._stopping = False
        if self.given and self.batching is None:
            self._since = time.monotonic()
            self.given[0].begin(self._since)
        return call

    # -- streams

    def _begin_stream(self, call: PendingCall, media_type: str) -> None:
        def abandon() -> None:
            if self.current is not call or len(self.given) > 1:
                return  # it has ended
            if call.finish:
                self._stop_stream()
            else:
                self.kill(Killed.CANCELLED)

        call.begin_stream(media_type, ReplyStream(self._pause, abandon))
        self._on_change(self)

    def _stop_stream(self) -> None:
        """Let the model stop where it is."""
        self._tickets.send(TICKET.pack(0, 0))
        self._stopping = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def _read_to_end(self) -> None:
        """The process is dead: the end of file may be behind what nobody reads."""
        self._forget_death()
        self._pause(False)

    def _forget_death(self) -> None:
        if self._death is not None:
            asyncio.get_running_loop().remove_reader(self._death)
            os.close(self._death)
            self._death = None

    def _pause(self, wait: bool) -> None:
        """Read no more, so that the worker has to wait, or read on."""
        if self._transport is None or self._transport.is_closing():
            return
        if wait and self._death is not None:
            self._transport.pause_reading()
        elif not wait:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._lose()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        if error is not None:  # what it said before is still to be read
            with contextlib.suppress(OSError):
                while count := self._socket.recv_into(self.get_buffer(-1)):
                    self.buffer_updated(count)
        self._lose()

    def _lose(self) -> None:
        if self.state is not WorkerState.DEAD:
            self.state = WorkerState.DEAD
            self._on_change(self)

    def cause(self) -> str:
        """Say why it ended; it has been reaped."""
        return self.failure or f"its worker died: {self.obituary()}"

    def ending(self) -> str:
        """Say in one word why it ended, for metrics."""
        if self._killed is not None:
            return self._killed.name.lower()
        return "died" if self.ready else "start"

    def obituary(self) -> str:
        """Say what the process died of; it has been reaped."""
        code = self.process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:  # a real-time signal has no name
            name = f"signal {-code}"
        return f"{name} (out of memory?)" if name == "SIGKILL" else name

    def status(self, *, trains: bool) -> WorkerStatus:
        return WorkerStatus(
            self._state, self.pid, self.calls, self.since, trains, self.gpu
        )

    # -- what the model prints

    def _read_output(self) -> None:
        """Log what there is of the output, line by line."""
        try:
            data = os.read(self._output, RECEIVE)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._output)
            return
        self._line += data
        *ended, rest = LINE_END.split(self._line)
        pairs = zip(ended[::2], ended[1::2], strict=True)
        lines = [bytes(line) for line, end in pairs if line or end != b"\r"]
        while len(rest) > LONGEST_LINE:
            lines.append(bytes(rest[:LONGEST_LINE]))
            rest = rest[LONGEST_LINE:]
        self._line = bytearray(rest)
        self._log(lines)

    def _drain_output(self) -> None:
        """Log all that it has printed so far, and the line that it began."""
        self._read_output()  # takes at once all that a pipe can hold
        if self._line:
            self._log([bytes(self._line)])
            self._line.clear()

    def _log(self, lines: list[bytes]) -> None:
        texts = [line.decode(errors="backslashreplace") for line in lines]
        self.quiet = 0
        label = ",".join(call.label for call in self.given)
        mark = f"[{self.name} {self.pid} {label}".rstrip() + "]"
        marked = [f"{mark} {text}" for text in texts]
        facts = {"model": self.name, "worker": self.pid, "request_id": label}
        for record in marked if len(marked) < BURST else ["\n".join(marked)]:
            logger.info("%s", record, extra={"extra": facts})
        if self.current is not None and self.current.on_event is not None:
            for text in texts:
                self.current.on_event(Line(text))
