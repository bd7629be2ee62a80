"""The parent's side: worker processes on this machine, and the calls that wait."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from deepaas.errors import (
    CallTimeout,
    DeepaasError,
    ModelRaised,
    StartError,
    Unavailable,
    WorkerDied,
)
from deepaas.executors import Reply, WorkerState, WorkerStatus
from deepaas.executors.messages import HEADER, Call, Raised, Ready, Start, pack
from deepaas.model.loading import ModelRef

logger = logging.getLogger(__name__)

BACK_OFF = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds to wait before the next start, by how many starts failed in a row."""

EXIT_GRACE = 1.0
"""Seconds that a worker told to end has for its exit handlers."""

RECEIVE = 65536
"""Bytes read at once; a larger body is read into its own buffer."""


class _Call:
    """A call on its way: waiting, or running in `worker`."""

    __slots__ = ("frame", "outcome", "timeout", "timer", "worker")

    def __init__(self, frame: bytes, timeout: float | None) -> None:
        self.frame = frame
        self.timeout = timeout
        self.outcome: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.worker: Worker | None = None
        self.timer: asyncio.TimerHandle | None = None

    def resolve(self, result: Reply | DeepaasError) -> None:
        """Give the caller its answer, once."""
        if self.timer is not None:
            self.timer.cancel()
        if self.outcome.done():
            return
        if isinstance(result, DeepaasError):
            self.outcome.set_exception(result)
        else:
            self.outcome.set_result(result)


class Worker(asyncio.BufferedProtocol):
    """One worker process: its socket, its state, and the call that it runs."""

    def __init__(self, start: Start, on_change: Callable[["Worker"], None]) -> None:
        self.state = WorkerState.STARTING
        self.call: _Call | None = None
        self.calls = 0
        self.ready = False
        self.failure: str | None = None
        """Why it did not start, or why it was killed."""
        self.gone = asyncio.Event()
        self.unread = False
        """It died without having read its call."""
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._received = bytearray(RECEIVE)
        self._filled = 0
        self._target: bytearray | None = None
        self._launch(start)

    # -- the process

    def _launch(self, start: Start) -> None:
        """Start the process: a leader of its own group, with one end of everything."""
        ours, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        # The worker imports what the server would, whatever folder it starts in.
        code = (
            f"import sys; sys.path[:] = {sys.path!r}; "
            "from deepaas.executors.worker import main; main()"
        )
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", code, str(theirs.fileno()), str(lifeline)],
                pass_fds=(theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(lifeline)
        ours.sendall(pack(start))
        self._socket = ours

    @property
    def pid(self) -> int:
        return self.process.pid

    async def connect(self) -> None:
        """Hand the socket to the event loop."""
        loop = asyncio.get_running_loop()
        self._socket.setblocking(False)
        await loop.create_unix_connection(lambda: self, sock=self._socket)

    def kill(self, reason: str) -> None:
        """End the process and all that it started; the end of file follows."""
        if self.process.returncode is None:
            self.failure = self.failure or reason
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    async def end(self, grace: float) -> None:
        """Let the process exit by itself, within `grace` seconds."""
        if self._transport is None:
            await self.connect()
        loop = asyncio.get_running_loop()
        killer = loop.call_later(grace, self.kill, "it did not exit")
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
        self.gone.set()

    # -- what it is told

    def send(self, call: _Call) -> None:
        """Give it a call."""
        assert self._transport is not None
        self.state = WorkerState.BUSY
        self.call, call.worker = call, self
        self._transport.write(call.frame)

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

    def _hear(self, message: Ready | Reply | Raised, body: bytes | memoryview) -> None:
        if isinstance(message, Ready):
            self.state = WorkerState.IDLE
            self.ready = True
        elif self.call is not None:
            self._answer(message, body)
        elif isinstance(message, Raised):
            self.failure = str(message)
            logger.debug("%s", message.traceback)
        self._on_change(self)

    def _answer(self, message: Reply | Raised, body: bytes | memoryview) -> None:
        call, self.call = self.call, None
        assert call is not None
        self.state = WorkerState.IDLE
        self.calls += 1
        if isinstance(message, Raised):
            text = message.message if message.status != 500 else str(message)
            call.resolve(
                ModelRaised(text, status=message.status, traceback=message.traceback)
            )
        elif message.path is None:
            call.resolve(replace(message, body=body))
        else:
            call.resolve(message)

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

    def status(self, cause: str | None) -> WorkerStatus:
        return WorkerStatus(self.state, self.pid, self.calls, cause)


class LocalExecutor:
    """Worker processes of one model, each replaced when it dies."""

    def __init__(
        self,
        ref: ModelRef,
        *,
        workers: int,
        warm: bool,
        raw_predictions: bool,
        max_queued: int = 1000,
    ) -> None:
        self.ref = ref
        self._count = workers
        self._start = Start(ref, list(sys.argv), warm, raw_predictions)
        self._max_queued = max_queued
        self._workers: list[Worker] = []
        self._idle: deque[Worker] = deque()
        self._waiting: OrderedDict[_Call, None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._started: asyncio.Future[None] | None = None
        self._failed_starts = 0
        self._closing = asyncio.Event()
        self._cause: str | None = None
        """What the last worker died of, or why it did not start."""

    # -- start and stop

    def launch(self) -> None:
        while len(self._workers) < self._count:
            self._workers.append(Worker(self._start, self._changed))

    async def start(self) -> None:
        self._started = asyncio.get_running_loop().create_future()
        self.launch()
        try:
            for worker in self._workers:
                await worker.connect()
            await self._started
        except BaseException:
            await self.close(0)
            raise

    async def close(self, grace: float) -> None:
        self._closing.set()
        stopping = Unavailable("The server is stopping.")
        for call in self._waiting:
            call.resolve(stopping)
        self._waiting.clear()
        running = [w.call.outcome for w in self._workers if w.call is not None]
        if running and grace > 0:
            await asyncio.wait(running, timeout=grace)
        for worker in self._workers:
            if worker.call is not None:
                worker.call.resolve(stopping)
                worker.kill("the server is stopping")
        await asyncio.gather(*(worker.end(EXIT_GRACE) for worker in self._workers))
        await asyncio.gather(*self._tasks)

    def workers(self) -> list[WorkerStatus]:
        return [worker.status(self._cause) for worker in self._workers]

    # -- calls

    async def call(
        self,
        method: str,
        kwargs: Mapping[str, Any],
        *,
        media_type: str | None = None,
        timeout: float | None = None,
        finish: bool = False,
    ) -> Reply:
        if self._closing.is_set():
            raise Unavailable("The server is stopping.")
        call = _Call(self._pack(method, kwargs, media_type), timeout)
        if self._idle and not self._waiting:
            self._give(call, self._idle.popleft())
        elif len(self._waiting) >= self._max_queued:
            raise Unavailable(
                f"{len(self._waiting)} calls wait for this model; try again later.",
                headers={"Retry-After": "1"},
            )
        else:
            self._waiting[call] = None
        try:
            return await asyncio.shield(call.outcome)
        except asyncio.CancelledError:
            await self._abandon(call, finish)
            raise

    def _pack(
        self, method: str, kwargs: Mapping[str, Any], media_type: str | None
    ) -> bytes:
        try:
            return pack(Call(method, kwargs, media_type))
        except Exception as error:  # whatever an author's own class raises
            raise ModelRaised(
                f"an argument cannot be sent to the worker: {error}"
            ) from error

    async def _abandon(self, call: _Call, finish: bool) -> None:
        if call.worker is None:
            self._waiting.pop(call, None)
            call.outcome.cancel()
            return
        if not finish:
            call.resolve(WorkerDied("The call was cancelled."))
            call.worker.kill("its call was cancelled")
        with contextlib.suppress(DeepaasError):
            reply = await call.outcome
            if reply.delete and reply.path:
                os.unlink(reply.path)

    def _give(self, call: _Call, worker: Worker) -> None:
        worker.send(call)
        if call.timeout:
            loop = asyncio.get_running_loop()
            call.timer = loop.call_later(call.timeout, self._time_out, call)

    def _time_out(self, call: _Call) -> None:
        call.resolve(CallTimeout(f"The model took longer than {call.timeout:g} s."))
        if call.worker is not None and call.worker.call is call:
            call.worker.kill("its call took too long")

    # -- workers

    def _changed(self, worker: Worker) -> None:
        """A worker is ready, has answered, or is gone."""
        if worker.state is WorkerState.DEAD:
            self._spawn(self._bury(worker))
        elif worker.state is WorkerState.IDLE:
            if self._waiting:
                self._give(self._waiting.popitem(last=False)[0], worker)
            else:
                self._idle.append(worker)
            self._check_started()

    def _check_started(self, failure: str | None = None) -> None:
        if self._started is None or self._started.done():
            return
        if failure is not None:
            self._started.set_exception(
                StartError(f"The model {self.ref.name!r} cannot be served: {failure}")
            )
        elif all(worker.state is WorkerState.IDLE for worker in self._workers):
            self._started.set_result(None)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury(self, worker: Worker) -> None:
        """Say what a dead worker died of to whom it concerns, and replace it."""
        if worker in self._idle:
            self._idle.remove(worker)
        call, worker.call = worker.call, None
        if call is not None and worker.unread and not call.outcome.done():
            call.worker = None
            self._waiting[call] = None
            self._waiting.move_to_end(call, last=False)
            call = None
        await worker.reap()
        cause = worker.failure or f"its worker died: {worker.obituary()}"
        if call is not None:
            call.resolve(
                WorkerDied(f"The worker died in the call: {worker.obituary()}.")
            )
        if self._closing.is_set():
            return
        self._cause = cause
        if self._started is not None and not self._started.done():
            self._check_started(cause)
            return
        logger.warning("A worker of %s ended: %s.", self.ref.name, cause)
        await self._replace(worker)

    async def _replace(self, worker: Worker) -> None:
        self._failed_starts = 0 if worker.ready else self._failed_starts + 1
        delay = BACK_OFF[min(self._failed_starts, len(BACK_OFF) - 1)]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._closing.wait(), delay)
        if not self._closing.is_set():
            replacement = Worker(self._start, self._changed)
            self._workers[self._workers.index(worker)] = replacement
            await replacement.connect()
