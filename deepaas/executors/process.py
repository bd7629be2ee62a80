"""One worker process as the parent sees it: its socket, its output, its state."""

import asyncio
import contextlib
import enum
import logging
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

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
from deepaas.executors.family import descendants
from deepaas.executors.messages import (
    HEADER,
    End,
    Piece,
    Raised,
    Ready,
    Start,
    Stop,
    StreamBegan,
    pack,
)
from deepaas.executors.stream import ReplyStream
from deepaas.progress import Batch

logger = logging.getLogger(__name__)

RECEIVE = 65536
"""Bytes read at once; a larger body is read into its own buffer."""

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


class PendingCall:
    """A call on its way: waiting, or running in `worker`."""

    __slots__ = (
        *("began", "finish", "frame", "label", "method", "on_end", "on_event"),
        *("outcome", "queued", "stream", "timeout", "timer", "worker"),
    )

    def __init__(
        self,
        frame: bytes,
        *,
        method: str,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
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
        self.on_event = on_event
        self.on_end = on_end
        """None when it has been called."""
        self.queued = time.monotonic()
        self.began: float | None = None
        """When the model began, by the same clock."""
        self.outcome: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.stream: ReplyStream | None = None
        """Set when the outcome is a stream, which then ends the call."""
        self.worker: Worker | None = None
        self.timer: asyncio.TimerHandle | None = None

    @property
    def trains(self) -> bool:
        return self.method == "train"

    def resolve(self, result: Reply | DeepaasError) -> None:
        """Give the caller its answer, once."""
        if self.timer is not None:
            self.timer.cancel()
        self.end(result.status if isinstance(result, DeepaasError) else 200)
        if self.stream is not None and isinstance(result, DeepaasError):
            self.stream.end(result)
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
        if self.outcome.done():  # it has run out of time just now
            stream.end()
        else:
            self.outcome.set_result(reply)

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
        now = time.monotonic()
        began = now if self.began is None else self.began
        ran = None if self.began is None else now - began
        event = Ended(self.method, status, began - self.queued, ran)
        on_end(event)
        if self.on_event is not None:
            self.on_event(event)

    async def over(self) -> None:
        """Wait until the worker is done with it."""
        await asyncio.wait([self.outcome])
        if self.stream is not None:
            await self.stream.ended.wait()


class Worker(asyncio.BufferedProtocol):
    """One worker process: its socket, its state, and the call that it runs."""

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
        self.call: PendingCall | None = None
        self.calls = 0
        self.ready = False
        self.failure: str | None = None
        """Why it did not start, or why it was killed."""
        self._killed: Killed | None = None
        self.gone = asyncio.Event()
        self.unread = False
        """It died without having read its call."""
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._received = bytearray(RECEIVE)
        self._filled = 0
        self._target: bytearray | None = None
        self._line = bytearray()
        self._connecting: asyncio.Task[None] | None = None
        self._launch(start)

    # -- the process

    def _launch(self, start: Start) -> None:
        """Start the process: a leader of its own group, with one end of everything."""
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        self._output, output = os.pipe()
        # The worker imports what the server would, whatever folder it starts in.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from deepaas.executors.worker import main; main()"
        )
        environment = dict(os.environ)
        if self.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, str(theirs.fileno()), str(lifeline)],
                pass_fds=(theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(lifeline)
            os.close(output)
        os.set_blocking(self._output, False)
        ours.sendall(pack(start))
        self._socket = ours

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
        """Let the process exit by itself, within `grace` seconds."""
        await self.connect()
        loop = asyncio.get_running_loop()
        killer = loop.call_later(grace, self.kill, Killed.EXIT)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()
        await self.gone.wait()
        killer.cancel()

    async def reap(self) -> None:
        """Collect the dead process, and end what is left of its group.

        Its number stays taken until it is collected, so the group is the right one.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self.process.wait)
        os.close(self._lifeline)
        asyncio.get_running_loop().remove_reader(self._output)
        self._drain_output()
        os.close(self._output)
        self.gone.set()

    # -- what it is told

    def send(self, call: PendingCall) -> None:
        """Give it a call."""
        assert self._transport is not None
        self.state = WorkerState.BUSY
        self.call, call.worker = call, self
        call.began = time.monotonic()
        self._transport.write(call.frame)
        if call.on_event is not None:
            call.on_event(Began())

    # -- what it says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = self._received if self._target is None else self._target
        return memoryview(buffer)[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        while (frame := self._next_frame()) is not None:
            self._hear(*frame)

    def _next_frame(self) -> tuple[Any, bytes | memoryview] | None:
        """Take one whole frame from what was received, if there is one."""
        if self._filled < HEADER.size:
            return None
        buffer = self._received if self._target is None else self._target
        head, body = HEADER.unpack_from(buffer)
        middle, end = HEADER.size + head, HEADER.size + head + body
        if self._filled < end:
            if end > len(buffer):
                self._target = bytearray(end)
                self._target[: self._filled] = memoryview(buffer)[: self._filled]
            return None
        message = pickle.loads(memoryview(buffer)[HEADER.size : middle])
        data: bytes | memoryview
        if self._target is not None:
            data = memoryview(self._target)[middle:]
            self._target = None
            self._filled = 0
        else:
            data = bytes(memoryview(buffer)[middle:end])
            rest = self._filled - end
            if rest:
                buffer[:rest] = buffer[end : self._filled]
            self._filled = rest
        return message, data

    def _hear(
        self,
        message: Ready | Reply | Raised | StreamBegan | Piece | End | Batch,
        body: bytes | memoryview,
    ) -> None:
        if isinstance(message, Batch):
            if self.call is not None and self.call.on_event is not None:
                self.call.on_event(message)
            return
        if isinstance(message, StreamBegan):
            self._begin_stream(message.media_type)
            return
        if isinstance(message, Piece):
            if self.call is not None and self.call.stream is not None:
                self.call.stream.feed(body)
            return
        if isinstance(message, Ready):
            self._drain_output()
            self.state = WorkerState.IDLE
            self.ready = True
        elif self.call is not None:
            self._answer(message, body)
        elif isinstance(message, Raised):
            self.failure = str(message)
            logger.debug("%s", message.traceback)
        self._on_change(self)

    def _answer(self, message: Reply | Raised | End, body: bytes | memoryview) -> None:
        self._drain_output()  # while it is known whose it is
        call, self.call = self.call, None
        assert call is not None
        self.state = WorkerState.IDLE
        self.calls += 1
        if isinstance(message, End):
            call.end_stream()
        elif isinstance(message, Raised):
            call.resolve(message.error())
        elif message.path is None:
            call.resolve(replace(message, body=body))
        else:
            call.resolve(message)

    # -- streams

    def _begin_stream(self, media_type: str) -> None:
        call = self.call
        if call is None:
            return

        def abandon() -> None:
            if self.call is not call:
                return
            if call.finish:
                self._stop_stream()
            else:
                self.kill(Killed.CANCELLED)

        call.begin_stream(media_type, ReplyStream(self._pause, abandon))

    def _stop_stream(self) -> None:
        """Let the model stop where it is."""
        assert self._transport is not None
        self._transport.write(pack(Stop()))
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)

    def _pause(self, wait: bool) -> None:
        """Read no more, so that the worker has to wait, or read on."""
        if self._transport is None or self._transport.is_closing():
            return
        if wait:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        self._lose()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        # Linux: a reset says that the process died with something left to read.
        self.unread = isinstance(error, ConnectionResetError | BrokenPipeError)
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
        since = time.monotonic() - self._since
        return WorkerStatus(self._state, self.pid, self.calls, since, trains, self.gpu)

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
        label = self.call.label if self.call else ""
        mark = f"[{self.name} {self.pid} {label}".rstrip() + "]"
        marked = [f"{mark} {text}" for text in texts]
        facts = {"model": self.name, "worker": self.pid, "request_id": label}
        for record in marked if len(marked) < BURST else ["\n".join(marked)]:
            logger.info("%s", record, extra={"extra": facts})
        if self.call is not None and self.call.on_event is not None:
            for text in texts:
                self.call.on_event(Line(text))
