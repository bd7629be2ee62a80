"""The child's side: a worker process, its loop over the socket."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import io
import logging
import os
import pickle
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from deepaas import progress
from deepaas.errors import StartError, authors_errors, authors_errors_or_exit, text_of
from deepaas.executors.frames import HEADER, pack, unpack
from deepaas.executors.host import ModelHost, Yields, describe
from deepaas.executors.messages import (
    Call,
    End,
    Loaded,
    Message,
    Piece,
    Raised,
    Ready,
    Reply,
    Start,
    StartFailed,
    StreamBegan,
)
from deepaas.executors.tickets import TicketReader
from deepaas.model.loading import ModelRef
from deepaas.model.places import raised_at

if TYPE_CHECKING:
    from deepaas.executors.describer import Describer
    from deepaas.model.adapter import ModelAdapter

MAX_COPIED_BODY_BYTES = 65536
"""Largest body that is copied, to send it in one buffer with its frame, in bytes."""

Answer: TypeAlias = Reply | Raised | End
"""The messages that end a call."""

_sending = threading.Lock()
"""A thread of its own sends progress, also while a stream is sent."""


def main() -> None:
    """Serve calls until there are no more tickets. Arguments: three descriptors."""
    connection, tickets = (socket.socket(fileno=int(n)) for n in sys.argv[1:3])
    lifeline = int(sys.argv[3])
    for descriptor in (connection.fileno(), tickets.fileno(), lifeline):
        os.set_inheritable(descriptor, False)  # programs must not keep them open
    end_with_server(lifeline)
    _leave_signals_to_server()
    _keep_from_children(lifeline, connection, tickets)
    try:
        _serve(connection, tickets)
    except SystemExit as error:
        _exit(error)
    except BaseException:
        # Before the socket closes with the process: then the server would kill it.
        _print_traceback()
        _exit(SystemExit(1))


def _serve(connection: socket.socket, tickets: socket.socket) -> None:
    inbox = _Inbox(connection, tickets)
    start = inbox.receive()
    assert isinstance(start, Start)
    sys.argv[:] = start.argv
    output = _Output()
    _log_to_stderr()
    step = f"{start.ref.target} does not load"
    try:
        host, description = _load(start)
        _send(connection, Loaded())
        step = "warm"
        if start.warm:
            host.warm()
    except authors_errors_or_exit() as error:
        raised = describe(error)
        # An adapter names the place itself.
        cause = getattr(error, "cause", "")
        if not (isinstance(error, StartError) and cause):
            cause = f"{step}: {raised}{raised_at(error, start.ref.target)}"
        _send(connection, StartFailed(cause, raised.traceback))
        sys.exit(1)
    interruption = _Interruption(inbox)
    _send(connection, Ready(host.batching, description))
    with contextlib.suppress(EOFError):
        while True:
            calls = inbox.take()
            began = time.perf_counter()
            answers = _answer(host, calls, connection, interruption)
            output.flush()
            _send(connection, *answers, seconds=time.perf_counter() - began)
    host.close()


def _load(start: Start) -> tuple[ModelHost, bytes | None]:
    """Load the model, and describe it if that is wanted.

    Raises CannotServe, or any exception of the author's code.
    """
    adapter: ModelAdapter | None = None
    if start.describe:
        adapter = _adapter(start.ref)
        description = adapter.describe().pack()
    model = start.ref.load() if adapter is None else adapter.model

    def make_describer() -> Describer:
        from deepaas.executors.describer import Describer

        return Describer(adapter or _adapter(start.ref, model))

    host = ModelHost(model, envelope=start.envelope, describer=make_describer)
    return host, description if start.describe else None


def _adapter(ref: ModelRef, *model: Any) -> ModelAdapter:
    from deepaas.model.adapter import ModelAdapter  # most calls need none of it

    return ModelAdapter(ref, *model)


class _Inbox:
    """Receives from the server: calls, and the tickets to begin them."""

    def __init__(self, connection: socket.socket, tickets: socket.socket) -> None:
        self._frames = connection.makefile("rb")
        self._tickets = TicketReader(tickets)
        self.stopped = self._tickets.stopped

    def receive(self) -> Message:
        """Return the next message. Raises EOFError when there are no more."""
        code, size, _, _ = HEADER.unpack(self._read(HEADER.size))
        message: Message = unpack(code, self._read(size))
        return message

    def take(self) -> list[Message]:
        """Wait for a ticket, and return its calls.

        In place of one whose arguments do not unpickle stands the error. Raises
        EOFError when there are no more.
        """
        skip, size = self._tickets.take()
        for _ in range(skip):
            _, fields, _, _ = HEADER.unpack(self._read(HEADER.size))
            self._read(fields)
        return [self._receive_call() for _ in range(size)]

    def _receive_call(self) -> Message:
        try:
            message = self.receive()
            if isinstance(message, Call) and message.packed:
                message = message._replace(kwargs=_unpickle(message.packed))
            if isinstance(message, Call) and message.uploads:
                message = message._replace(kwargs=_with_uploads(message))
            return message
        except EOFError:
            raise
        except authors_errors() as error:
            return describe(error)

    def _read(self, size: int) -> bytes:
        data = self._frames.read(size)
        if len(data) < size:
            raise EOFError
        return data


def _unpickle(packed: bytes | str) -> Any:
    """Return keyword arguments. Raises any error of an author's class."""
    if isinstance(packed, bytes):
        return pickle.loads(packed)
    with open(packed, "rb") as file:
        return pickle.load(file)


def _with_uploads(call: Call) -> Mapping[str, Any]:
    """Return the arguments of a call with the paths that its files have here."""
    paths = {before: here for before, here in call.uploads if before != here}
    if not paths:
        return call.kwargs
    from deepaas.executors.uploads import with_paths  # only on another machine

    kwargs = call.kwargs.items()
    return {name: with_paths(value, paths) for name, value in kwargs}


def _answer(
    host: ModelHost,
    received: Sequence[Message],
    connection: socket.socket,
    interruption: _Interruption,
) -> Sequence[Answer]:
    calls = [each for each in received if isinstance(each, Call)]
    if len(received) > 1:
        answers = iter(host.call_together(calls))
        return [
            each if isinstance(each, Raised) else next(answers) for each in received
        ]
    if not calls:
        return [each for each in received if isinstance(each, Raised)]
    call = calls[0]
    send = partial(_send, connection)
    with progress.recorded(send) if call.reports else contextlib.nullcontext():
        answer = host.call(call)
        if isinstance(answer, Yields):
            return [_stream(answer, send, interruption)]
        return [answer]


def _stream(
    yields: Yields, send: Callable[..., None], interruption: _Interruption
) -> End | Raised:
    """Send what a model yields, until it ends, or the server wants no more."""
    begun = False
    try:
        while True:
            with interruption.allowed(yields.interrupt):
                if interruption.wanted():  # a signal from here on interrupts
                    break
                item = next(yields.items)
            piece = yields.encode(item)
            if not begun:  # until then, an error still has its own status
                send(StreamBegan(yields.media_type))
                begun = True
            send(Piece(), piece=piece)
    except (StopIteration, GeneratorExit):
        pass
    except authors_errors() as error:
        # An async generator that was stopped is a cancelled one.
        if isinstance(error, Exception) or not interruption.wanted():
            return describe(error)
    finally:
        try:
            yields.close()
        except authors_errors():
            _print_traceback()
    if not begun:
        send(StreamBegan(yields.media_type))
    return End()


class _Interruption:
    """Stops a model in the middle of a stream whose reader has left.

    The server sends a ticket that ends the stream, and a SIGUSR1, on which the model is
    interrupted: what close() would do, but now. A late signal finds no such ticket, and
    does nothing.
    """

    def __init__(self, inbox: _Inbox) -> None:
        self.wanted = inbox.stopped
        self._interrupt: Callable[[], None] | None = None
        signal.signal(signal.SIGUSR1, self._handle)

    @contextlib.contextmanager
    def allowed(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Let the model be interrupted meanwhile, in this way."""
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = None

    def _handle(self, *_: Any) -> None:
        interrupt = self._interrupt
        if interrupt is not None and self.wanted():
            self._interrupt = None
            interrupt()


class _Output:
    """Standard output and error, which a model may replace, close or set to None.

    Each line reaches the server as it ends, C's too. The server reads UTF-8 in every
    locale, so any text can be printed.
    """

    def __init__(self) -> None:
        self._ours = sys.stdout, sys.stderr
        for stream in self._ours:
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(
                    encoding="utf-8", errors="backslashreplace", line_buffering=True
                )
        libc = ctypes.CDLL(None)
        with contextlib.suppress(ValueError):  # a libc whose stdout has another name
            stdout = ctypes.c_void_p.in_dll(libc, "stdout")
            libc.setvbuf(stdout, None, 1, 0)  # 1 is _IOLBF

    def flush(self) -> None:
        """Write lines that have begun. Never raises."""
        _flush(sys.stdout)
        _flush(sys.stderr)
        stdout, stderr = self._ours
        if sys.stdout is not stdout:
            _flush(stdout)
        if sys.stderr is not stderr:
            _flush(stderr)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except authors_errors_or_exit():
        pass  # closed, None, or the author's own class, which may raise anything


def _stderr() -> io.TextIOWrapper:
    """Open descriptor 2: the model may have closed or replaced sys.stderr."""
    return open(
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )


# Python 3.10 has no logging.StreamHandler[...]
class _LogHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to descriptor 2. Never raises, even when the model has closed that."""

    def __init__(self) -> None:
        super().__init__(_stderr())

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's
        with contextlib.suppress(Exception):  # sys.stderr may be closed
            super().handleError(record)


def _log_to_stderr() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
        handlers=[_LogHandler()],
    )


def _print_traceback() -> None:
    with contextlib.suppress(OSError):  # the model has closed the descriptor
        traceback.print_exc(file=_stderr())


def _exit(error: SystemExit) -> None:
    """End at once: threads that the model left running must not keep the process."""
    code = error.code
    if code is not None and not isinstance(code, int):
        with contextlib.suppress(OSError):
            print(text_of(code), file=_stderr())
        code = 1
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        _flush(stream)
    os._exit((code or 0) & 0xFF)


def _send(
    connection: socket.socket,
    *messages: Message,
    piece: bytes = b"",
    seconds: float = 0,
) -> None:
    pending = b""
    with _sending:
        for message in messages:
            body: bytes | memoryview = piece
            if isinstance(message, Reply) and message.body is not None:
                body = message.body
                message = Reply(message.media_type, None, *message[2:])
            pending += pack(message, body, seconds)
            if len(body) <= MAX_COPIED_BODY_BYTES:
                pending += body
            else:
                connection.sendall(pending)
                connection.sendall(body)
                pending = b""
        connection.sendall(pending)


def end_with_server(lifeline: int) -> None:
    """End this process group when the server, which holds the pipe's end, is gone.

    On Linux the kernel does it, in the middle of C code that holds the interpreter's
    lock if need be (fcntl(2), F_SETSIG); elsewhere a thread waits for the end of file.
    """
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC)
        if select.select([lifeline], [], [], 0)[0]:  # it was gone before
            os.killpg(0, signal.SIGKILL)
    else:
        threading.Thread(target=_wait_for_end, args=(lifeline,), daemon=True).start()


def _wait_for_end(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _leave_signals_to_server() -> None:
    """Let the server end its workers in order when a whole group is told to stop.

    A handler, since ignored signals would be inherited by the programs that a model
    starts; and a child that is forked has the defaults again.
    """
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        signal.signal(number, lambda *_: None)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)

    # One that comes to a child before it has the defaults has to wait: multiprocessing
    # tells children to end that have hardly begun, and then waits for their end.
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, signals),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, signals),
        after_in_child=restore,
    )


def _keep_from_children(lifeline: int, *sockets: socket.socket) -> None:
    """Close all of these in forked children: the worker's death is end of file."""
    descriptors = [lifeline, *(each.fileno() for each in sockets)]

    def close() -> None:
        progress.forget()
        for each in sockets:
            each.detach()  # close() would wait for the file that reads from one
        while descriptors:  # in a child's own children the numbers are other files
            with contextlib.suppress(OSError):
                os.close(descriptors.pop())

    os.register_at_fork(after_in_child=close)
