"""The child's side: a worker process, its loop over the socket."""

import contextlib
import ctypes
import fcntl
import logging
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, BinaryIO, TypeAlias

from deepaas import progress
from deepaas.errors import authors_errors
from deepaas.executors.host import ModelHost, Yields, describe
from deepaas.executors.messages import (
    HEADER,
    Call,
    End,
    Message,
    Piece,
    Raised,
    Ready,
    Reply,
    Start,
    Stop,
    StreamBegan,
    Together,
    pack,
    unpack,
)

SMALL = 65536
"""Bytes up to which a body is copied, to send it in one piece with its frame."""


Answer: TypeAlias = Reply | Raised | End
"""What ends a call."""

_sending = threading.Lock()
"""Progress is sent from a thread of its own, also while a stream is sent."""


def main() -> None:
    """Serve calls until the server closes the socket. Arguments: two descriptors."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    lifeline = int(sys.argv[2])
    for descriptor in (connection.fileno(), lifeline):
        os.set_inheritable(descriptor, False)  # programs must not keep them open
    _die_with_server(lifeline)
    _leave_signals_to_server()
    _keep_from_children(connection, lifeline)
    try:
        _serve(connection)
    except SystemExit as error:
        _exit(error)
    except BaseException:
        # Said before the socket closes with the process: the server would kill it.
        traceback.print_exc()
        _exit(SystemExit(1))


def _serve(connection: socket.socket) -> None:
    frames = connection.makefile("rb")
    start = _receive(frames)
    assert isinstance(start, Start)
    sys.argv[:] = start.argv
    _print_by_line()
    try:
        model = start.ref.load()
        host = ModelHost(model, raw_predictions=start.raw_predictions)
        if start.warm:
            host.warm()
    except authors_errors() as error:
        _send(connection, describe(error))
        sys.exit(1)
    interruption = _Interruption(connection)
    _send(connection, Ready(host.batching))
    with contextlib.suppress(EOFError):
        while True:
            answers = _answer(host, frames, connection, interruption)
            sys.stdout.flush()
            sys.stderr.flush()
            _send(connection, *answers)
    host.close()


def _answer(
    host: ModelHost,
    frames: BinaryIO,
    connection: socket.socket,
    interruption: "_Interruption",
) -> Sequence[Answer]:
    call = _receive_call(frames)
    while isinstance(call, Stop):  # of a stream that had ended by itself
        call = _receive_call(frames)
    if isinstance(call, Together):
        received = [_receive_call(frames) for _ in range(call.size)]
        calls = [each for each in received if isinstance(each, Call)]
        answers = iter(host.call_together(calls))
        return [
            each if isinstance(each, Raised) else next(answers) for each in received
        ]
    if isinstance(call, Raised):
        return [call]
    assert isinstance(call, Call)
    send = partial(_send, connection)
    with progress.recorded(send) if call.reports else contextlib.nullcontext():
        answer = host.call(call)
        if isinstance(answer, Yields):
            return [_stream(answer, send, interruption)]
        return [answer]


def _receive_call(frames: BinaryIO) -> Message:
    """Return what the server sends, or an error: of an argument that does not unpickle.

    Raises EOFError when it sends no more.
    """
    try:
        return _receive(frames)
    except EOFError:
        raise
    except authors_errors() as error:
        return describe(error)


def _stream(
    yields: Yields, send: Callable[..., None], interruption: "_Interruption"
) -> End | Raised:
    """Send what a model yields, until it ends, or the server wants no more."""
    begun = False
    try:
        while not interruption.wanted():
            with interruption.allowed(yields.interrupt):
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
            traceback.print_exc()
    if not begun:
        send(StreamBegan(yields.media_type))
    return End()


class _Interruption:
    """Stops a model in the middle of a stream that nobody reads any longer.

    The server sends a Stop, and a SIGUSR1, on which the model is interrupted: what
    close() would do, but now. In a stream nothing else than a Stop can come from the
    server, so a late signal finds nothing to read, and does nothing.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._interrupt: Callable[[], None] | None = None
        signal.signal(signal.SIGUSR1, self._handle)

    def wanted(self) -> bool:
        """Tell whether the server has said anything, or is gone."""
        return bool(select.select([self._connection], [], [], 0)[0])

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


def _print_by_line() -> None:
    """Let the server have each line of output as it ends, C's and logging's too."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    libc = ctypes.CDLL(None)
    with contextlib.suppress(ValueError):  # a libc whose stdout has another name
        stdout = ctypes.c_void_p.in_dll(libc, "stdout")
        libc.setvbuf(stdout, None, 1, 0)  # 1 is _IOLBF
    logging.basicConfig(
        level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )


def _exit(error: SystemExit) -> None:
    """End at once: threads that the model left running must not keep the process."""
    code = error.code
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _receive(frames: BinaryIO) -> Message:
    code, size, _ = HEADER.unpack(_read(frames, HEADER.size))
    return unpack(code, _read(frames, size))


def _read(frames: BinaryIO, size: int) -> bytes:
    data = frames.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _send(connection: socket.socket, *messages: Message, piece: bytes = b"") -> None:
    pending = b""
    with _sending:
        for message in messages:
            body: bytes | memoryview = piece
            if isinstance(message, Reply) and message.body is not None:
                body, message = message.body, message._replace(body=None)
            pending += pack(message, body)
            if len(body) <= SMALL:
                pending += body
            else:
                connection.sendall(pending)
                connection.sendall(body)
                pending = b""
        connection.sendall(pending)


def _die_with_server(lifeline: int) -> None:
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


def _keep_from_children(connection: socket.socket, lifeline: int) -> None:
    """Close both descriptors in forked children: the worker's death is end of file."""

    def close() -> None:
        progress.forget()
        # connection.close() would wait for the file that reads from it
        for descriptor in (connection.detach(), lifeline):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    os.register_at_fork(after_in_child=close)
