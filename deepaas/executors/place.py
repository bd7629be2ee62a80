"""A place: an actor on a node of a cluster, with worker processes of one model.

It does what its server tells it to, and knows no policy: the server's pool decides when
a worker is started, replaced or ended, and the server's queue which call it gets. It
ends itself, with all that its workers have started, when its server or its node is
gone.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any, BinaryIO

from deepaas.errors import DeepaasError, ModelRaised, WorkerDied, named
from deepaas.executors.base import Event, Limits, Printed
from deepaas.executors.calls import ExitReason, PendingCall
from deepaas.executors.exchange import InOrder, Outbox
from deepaas.executors.frames import FrameReader, pack
from deepaas.executors.local_worker import LocalWorker
from deepaas.executors.messages import Call, Reply, Stream
from deepaas.executors.place_environment import node_environment
from deepaas.executors.place_folder import CallFiles, PlaceFolder, remove_abandoned
from deepaas.executors.place_messages import (
    MAX_PIECE_BYTES,
    PLACE_CODES,
    PLACE_KINDS,
    CallHead,
    DropUploads,
    EndWorker,
    Failed,
    FromPlace,
    KillWorker,
    Lines,
    MeasureWorker,
    PauseStream,
    PlaceFacts,
    Progress,
    Replied,
    RunCalls,
    StartWorker,
    StopStream,
    StreamEnded,
    StreamOpened,
    StreamPiece,
    Upload,
    WorkerExited,
    WorkerMeasured,
    WorkerStarted,
    WorkerWarm,
    Written,
)
from deepaas.executors.process import Launch
from deepaas.executors.process_tree import descendants
from deepaas.progress import Batch

MAX_SILENCE = 7.0
"""Seconds without a word of the gateway after which a place ends itself."""

WATCH_INTERVAL = 1.0
"""Seconds between two looks at the gateway and the node."""

STREAM_END_SECONDS = 0.2
"""Seconds to send what is left of a stream whose worker has died."""


class _Transfer:
    """A stream or a file on its way to the server."""

    def __init__(self) -> None:
        self.going = asyncio.Event()
        self.going.set()
        self.stopped = False
        self.stream: Stream | None = None
        """None for a file."""

    def stop(self) -> None:
        """Send no more pieces: the reader has left."""
        self.stopped = True
        self.going.set()


class Place:
    """The workers of one model on one node, for one server.

    All coroutines run on one event loop. It has more than 15 attributes with those of
    its files and transfers, since it is the only state of its process.
    """

    def __init__(self) -> None:
        """Take a folder for the files of calls."""
        remove_abandoned()
        self._folder = PlaceFolder()
        self._outbox = Outbox()
        self._reader = FrameReader(PLACE_KINDS)
        self._inbox = InOrder(self._receive)
        self._workers: dict[int, LocalWorker] = {}
        self._numbers: dict[int, int] = {}
        """The numbers of workers by their process."""
        self._calls: dict[int, PendingCall] = {}
        self._transfers: dict[int, _Transfer] = {}
        self._files = CallFiles(self._folder)
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = time.monotonic()
        self._takers: dict[type[Any], Callable[[Any, Any], None]] = {
            StartWorker: self._start,
            RunCalls: self._run,
            KillWorker: self._kill,
            EndWorker: self._end,
            MeasureWorker: self._measure,
            PauseStream: self._pause,
            StopStream: self._stop,
            Upload: self._write,
            DropUploads: self._drop_unsent,
        }
        threading.Thread(target=self._watch, args=(os.getppid(),), daemon=True).start()

    # -- for the gateway

    async def open(self) -> PlaceFacts:
        """Begin. Returns where the place is."""
        return PlaceFacts(
            version=version("deepaas"),
            host=socket.gethostname(),
            pid=os.getpid(),
            folder=self._folder.path,
            gpu=os.environ.get("CUDA_VISIBLE_DEVICES") or None,
        )

    async def exchange(self, number: int, data: bytes) -> tuple[int, bytes]:
        """Take bytes of the server, and return some for it, each with its number."""
        self._heard = time.monotonic()
        self._inbox.add(number, data)
        return await self._outbox.answer()

    async def close(self) -> None:
        """End all workers at once, and delete the files."""
        for worker in self._workers.values():
            worker.kill(ExitReason.STOPPING)
        gone = [worker.process.gone.wait() for worker in self._workers.values()]
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*gone), 1)
        self._folder.remove()

    def _receive(self, data: bytes) -> None:
        for message, body, _ in self._reader.feed(data):
            self._takers[type(message)](message, body)

    def _send(
        self, message: FromPlace, body: bytes | memoryview = b"", seconds: float = 0
    ) -> None:
        self._outbox.put(pack(message, body, seconds, PLACE_CODES), body)

    # -- workers

    def _start(self, message: StartWorker, _: Any) -> None:
        environment = node_environment(message.environment)
        launch = Launch(message.start, list(sys.path), environment, message.folder)
        number = message.worker
        try:
            worker = LocalWorker(launch, self, Limits(), number=number)
        except OSError as error:
            words = f"no process can be started: {error.strerror}"
            self._send(WorkerExited(number, words, words, words, "start"))
            return
        self._workers[number] = worker
        self._numbers[worker.pid] = number
        self._send(WorkerStarted(number, worker.pid))
        self._spawn(worker.connect())

    def on_ready(self, worker: LocalWorker) -> None:
        """Tell the server that a worker is warm."""
        self._send(WorkerWarm(worker.number, worker.batching, worker.description))

    def on_answered(self, worker: LocalWorker) -> None:
        """Nothing is to do: its calls were told."""

    def on_stream(self, worker: LocalWorker) -> None:
        """Nothing is to do: its call was told."""

    def on_output(self, printed: Printed) -> None:
        """Pass on what a worker printed."""
        number = self._numbers[printed.pid]
        self._send(Lines(number, printed.label, printed.lines))

    def on_exit(self, worker: LocalWorker) -> None:
        """Tell the server what a worker died of, after all that it has sent."""
        self._spawn(self._collect(worker))

    async def _collect(self, worker: LocalWorker) -> None:
        await worker.collect()
        process = worker.process
        while worker.given:  # the server ends these calls, with its own words
            worker.given.popleft().resolve(WorkerDied(process.death()))
        sending = [task for task in self._tasks if task.get_name() == _streams(worker)]
        if sending:
            await asyncio.wait(sending, timeout=STREAM_END_SECONDS)
        reason = process.exit_reason(warmed=worker.warmed)
        self._send(
            WorkerExited(
                worker.number, process.death(), process.cause(), process.failure, reason
            )
        )
        del self._workers[worker.number], self._numbers[worker.pid]

    def _kill(self, message: KillWorker, _: Any) -> None:
        if (worker := self._workers.get(message.worker)) is not None:
            worker.kill(ExitReason[message.reason], message.words)

    def _end(self, message: EndWorker, _: Any) -> None:
        if (worker := self._workers.get(message.worker)) is not None:
            self._spawn(worker.end(message.grace))

    def _measure(self, message: MeasureWorker, _: Any) -> None:
        if (worker := self._workers.get(message.worker)) is not None:
            self._spawn(self._measure_one(worker))

    async def _measure_one(self, worker: LocalWorker) -> None:
        memory = await asyncio.to_thread(worker.process.measure)
        self._send(WorkerMeasured(worker.number, memory))

    # -- calls

    def _run(self, message: RunCalls, body: memoryview | bytes) -> None:
        worker = self._workers.get(message.worker)
        if worker is None or not worker.warm:
            for head in message.calls:  # the server ends them when it hears of the exit
                self._drop(head.call)
            return
        calls, start = [], 0
        for head in message.calls:
            packed = bytes(body[start : start + head.size])
            start += head.size
            if (error := self._files.failed.get(head.call)) is not None:
                self._fail(head.call, error)
            else:
                calls.append(self._new_call(worker, head, packed))
        if calls:
            worker.send(calls)

    def _new_call(
        self, worker: LocalWorker, head: CallHead, packed: bytes
    ) -> PendingCall:
        call = PendingCall(
            Call(head.method, {}, reports=head.reports),  # the arguments are packed
            packed,
            on_timeout=_ignore,  # the server has the timers
            on_end=_ignore,
            finish=True,  # a reader who leaves must not end a worker: the server may
            label=head.label,
            on_event=partial(self._pass_on, head.call) if head.reports else None,
        )
        self._calls[head.call] = call
        done = partial(self._answer, worker, head, call)
        call.outcome.add_done_callback(done)
        return call

    def _pass_on(self, number: int, event: Event) -> None:
        if isinstance(event, Batch):
            self._send(Progress(number, event))

    def _answer(
        self,
        worker: LocalWorker,
        head: CallHead,
        call: PendingCall,
        outcome: "asyncio.Future[Reply]",
    ) -> None:
        number = head.call
        del self._calls[number]
        error = outcome.exception()
        if error is not None:
            self._fail(number, error, call.ran or 0)
            return
        reply = outcome.result()
        if reply.stream is not None:
            coroutine = self._send_stream(number, call, reply)
            self._spawn(coroutine, name=_streams(worker))
        elif reply.path is not None:
            self._spawn(self._send_file(number, call.ran or 0, reply))
        elif head.returns:
            self._spawn(self._send_returned(head, call.ran or 0, reply))
        else:
            answer = Replied(number, reply.media_type, reply.filename, None)
            self._send(answer, reply.body or b"", call.ran or 0)
            self._drop(number)

    def _fail(self, number: int, error: BaseException, seconds: float = 0) -> None:
        """Tell the server of an error, except of a death: it tells the callers."""
        if isinstance(error, ModelRaised):
            failed = Failed(
                number, error.kind, str(error), error.traceback, error.status
            )
            self._send(failed, b"", seconds)
        elif not isinstance(error, WorkerDied):
            status = error.status if isinstance(error, DeepaasError) else 500
            kind, text = type(error).__name__, str(error)
            self._send(Failed(number, kind, text, "", status), b"", seconds)
        self._drop(number)

    # -- streams and files to the server

    async def _send_stream(self, number: int, call: PendingCall, reply: Reply) -> None:
        stream = reply.stream
        assert stream is not None
        transfer = self._transfers[number] = _Transfer()
        transfer.stream = stream
        self._send(StreamOpened(number, reply.media_type))
        try:
            async for piece in stream:
                await self._send_piece(number, transfer, piece)
        except DeepaasError as error:
            self._fail(number, error, call.ran or 0)
        else:
            self._send(StreamEnded(number), b"", call.ran or 0)
        finally:
            del self._transfers[number]
            self._drop(number)

    async def _send_file(self, number: int, seconds: float, reply: Reply) -> None:
        assert reply.path is not None
        transfer = self._transfers[number] = _Transfer()
        try:
            with await asyncio.to_thread(open, reply.path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                head = Replied(number, reply.media_type, reply.filename, size)
                self._send(head, b"", seconds)
                await self._send_pieces(number, transfer, file)
            self._send(StreamEnded(number))
        except OSError as error:
            words = f"The file cannot be read: {named(error)}"
            self._fail(number, ModelRaised(words, status=500), seconds)
        finally:
            if reply.delete:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(reply.path)
            del self._transfers[number]
            self._drop(number)

    async def _send_returned(
        self, head: CallHead, seconds: float, reply: Reply
    ) -> None:
        """Send the file that a call returns, then its answer."""
        number = head.call
        transfer = self._transfers[number] = _Transfer()
        try:
            path = self._folder.file(head.returns)
            with await asyncio.to_thread(open, path, "rb") as file:
                await self._send_pieces(number, transfer, file)
            answer = Replied(number, reply.media_type, reply.filename, None)
            self._send(answer, reply.body or b"", seconds)
        except OSError as error:
            words = f"The arguments cannot be read: {named(error)}"
            self._fail(number, ModelRaised(words, status=500), seconds)
        finally:
            del self._transfers[number]
            self._drop(number)

    async def _send_pieces(
        self, number: int, transfer: _Transfer, file: BinaryIO
    ) -> None:
        while not transfer.stopped and (
            data := await asyncio.to_thread(file.read, MAX_PIECE_BYTES)
        ):
            await self._send_piece(number, transfer, data)

    async def _send_piece(self, number: int, transfer: _Transfer, data: bytes) -> None:
        view = memoryview(data)
        while view:
            await self._outbox.room()
            await transfer.going.wait()
            if transfer.stopped:
                return
            self._send(StreamPiece(number), view[:MAX_PIECE_BYTES])
            view = view[MAX_PIECE_BYTES:]

    def _pause(self, message: PauseStream, _: Any) -> None:
        if (transfer := self._transfers.get(message.call)) is not None:
            if message.wait and not transfer.stopped:
                transfer.going.clear()
            else:
                transfer.going.set()

    def _stop(self, message: StopStream, _: Any) -> None:
        if (transfer := self._transfers.get(message.call)) is not None:
            transfer.stop()
            if transfer.stream is not None:
                self._spawn(transfer.stream.aclose())

    # -- uploads

    def _write(self, message: Upload, body: bytes | memoryview) -> None:
        self._files.write(message.call, message.name, body)
        self._send(Written(message.call))

    def _drop_unsent(self, message: DropUploads, _: Any) -> None:
        self._drop(message.call)

    def _drop(self, number: int) -> None:
        if number not in self._transfers:  # its answer may be one of the files
            self._files.remove(number)

    # -- the end

    def _watch(self, parent: int) -> None:
        """End this process when its server or its node is gone. Runs in a thread."""
        while True:
            time.sleep(WATCH_INTERVAL)
            silent = time.monotonic() - self._heard > MAX_SILENCE
            if silent or os.getppid() != parent:
                break
        # Workers end with this process, but not those that lead groups of their own.
        for pid in descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._folder.remove()
        os._exit(1)

    def _spawn(self, coroutine: Coroutine[Any, Any, None], name: str = "") -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _streams(worker: LocalWorker) -> str:
    """Return the name of the tasks that send the streams of a worker."""
    return f"streams of {worker.number}"


def _ignore(_: Any) -> None:
    pass
