"""SIGINT, SIGTERM and SIGHUP end deepaas-cli, which tidies up before."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: list[int] = []


class Interrupted(BaseException):
    """A signal has come. Not a KeyboardInterrupt, which counts as the model's own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name = signal.Signals(number).name
        self.exit_code = 128 + number
        """The exit code of a program that a signal has ended, as shells give it."""


def raise_on_signals() -> None:
    """Raise Interrupted, wherever the program is, when a signal comes."""
    for number in _awaited():
        signal.signal(number, _raise)


def _awaited() -> Sequence[signal.Signals]:
    """Return the signals that count; under nohup, SIGHUP is ignored and stays so."""
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [n for n in SIGNALS if not (nohup and n == signal.SIGHUP)]


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    _received.append(number)
    raise Interrupted(number)


@contextlib.contextmanager
def interrupts_raised() -> Iterator[None]:
    """Raise Interrupted at the end if a signal has come: a model may catch it."""
    try:
        yield
    finally:
        if _received:
            raise Interrupted(_received[0]) from None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine, which a signal cancels. Raises Interrupted then."""

    async def cancellable() -> T:
        task = asyncio.current_task()
        assert task is not None

        def receive(number: int) -> None:
            if not _received:  # tidying up is short, and not interrupted
                task.cancel()
            _received.append(number)

        for number in _awaited():
            asyncio.get_running_loop().add_signal_handler(number, receive, number)
        return await coroutine

    try:
        with interrupts_raised():
            return asyncio.run(cancellable())
    finally:
        raise_on_signals()  # the loop has left the default handlers
