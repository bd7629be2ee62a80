"""Describer: answers questions on a model, in a process that has loaded it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from deepaas.encoding import encode_json
from deepaas.executors.messages import LOAD, METADATA, Reply
from deepaas.media_types import BINARY, JSON

if TYPE_CHECKING:
    from deepaas.arguments.outcome import Values
    from deepaas.model.adapter import ModelAdapter


class Describer:
    """Reads what an author declared, and runs the author's code that loads values.

    In a process that computes as well, it is made when it is first asked.
    """

    def __init__(self, adapter: ModelAdapter) -> None:
        self._adapter = adapter

    def answer(self, question: str, kwargs: Mapping[str, Any]) -> Reply:
        """Answer a question. Raises any error of the author's code."""
        if question == LOAD:
            return Reply(BINARY, self.load(**kwargs))
        if question == METADATA:
            return Reply(JSON, self.metadata(**kwargs))
        return Reply(BINARY, self._adapter.describe(documented=True).pack())

    def metadata(self, *, seconds: float) -> bytes:
        """Call `get_metadata`; return nothing if it takes longer, if it can be ended.

        Code in C that does not return to Python cannot be ended.
        """
        try:
            with _limited(seconds):
                return encode_json(self._adapter.read_metadata())
        except _TookTooLong:
            return b""

    def load(self, method: str, given: Values, *, shows: bool) -> bytes:
        """Load the values of a call; return a packed `Outcome`.

        `shows` asks for what a job's record shows of them. Raises BadBody or
        ModelRaised for arguments that cannot be sent.
        """
        from deepaas.arguments.outcome import load_to_cross

        adapter = self._adapter
        arguments = adapter.predict_args if method == "predict" else adapter.train_args
        return load_to_cross(arguments, given, shows=shows).pack()


class _TookTooLong(BaseException):
    """The author's code took too long. No author's `except Exception` catches it."""


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise _TookTooLong in the main thread after some seconds."""
    if threading.current_thread() is not threading.main_thread():
        yield  # a signal is of no use
        return

    def end(*_: object) -> None:
        raise _TookTooLong

    before = signal.signal(signal.SIGALRM, end)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left, interval)
        signal.signal(signal.SIGALRM, before)
