"""A call on its way, and the slot that runs it as the queue knows it."""

import asyncio
import enum
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from deepaas.errors import DeepaasError
from deepaas.executors.base import Began, Ended, Event
from deepaas.executors.messages import Call, Reply
from deepaas.executors.stream import ReplyStream
from deepaas.model.loading import Batching


class ExitReason(enum.Enum):
    """The reason for ending a slot's worker, in words for the log."""

    CANCELLED = "its call was cancelled"
    TIMEOUT = "its call took too long"
    WARMING = "it was not warm in time"
    STOPPING = "the server is stopping"
    EXIT = "it did not exit"


class Slot(Protocol):
    """One worker as the queue knows it: it has calls, or is free."""

    batching: Batching | None
    """The number of calls that it takes together; None means one."""
    given: deque["PendingCall"]
    """Calls that it has, in the order in which it answers them."""

    @property
    def warm(self) -> bool:
        """Tell whether it can run calls, now or after those that it has."""

    @property
    def idle(self) -> bool:
        """Tell whether it is warm and has no calls."""

    @property
    def trains(self) -> bool:
        """Tell whether it runs a training."""

    @property
    def streams(self) -> bool:
        """Tell whether it sends a stream."""

    @property
    def ahead(self) -> int:
        """Return how many calls it has that, as far as the server knows, wait in it."""

    @property
    def running(self) -> list["PendingCall"]:
        """Return the calls that it has begun, as far as the server knows."""

    @property
    def since(self) -> float:
        """Return the seconds since its state changed, or it began another call."""

    def room(self, seconds: float) -> int:
        """Return how many calls it may have at once, to end them in so many seconds."""

    def send(self, calls: Sequence["PendingCall"]) -> None:
        """Give it calls, together if it takes batches, else one after another."""

    def reclaim(self) -> list["PendingCall"]:
        """Return, in order, the calls that it has not begun and now never will.

        It is idle afterwards if it has begun none.
        """

    def kill(self, reason: ExitReason) -> None:
        """End its worker as soon as possible.

        The calls stay in `given`, and the caller of this method resolves them.
        """

    async def destroy(self, reason: ExitReason) -> None:
        """Kill its worker, and wait a moment until it is gone."""


_BEGAN = Began()


def _retrieve(outcome: asyncio.Future[Any]) -> None:
    """Keep asyncio from logging an error that no caller retrieves."""
    if not outcome.cancelled():
        outcome.exception()


class PendingCall:
    """A call that waits, or runs in `slot`; its timer starts and ends here.

    It has more than 15 attributes because it holds all that the server knows of a call
    until its answer, and one object costs less than several.
    """

    __slots__ = (
        "_timer",
        "alone",
        "batch",
        "began",
        "call",
        "ended",
        "finish",
        "label",
        "method",
        "on_end",
        "on_event",
        "on_timeout",
        "outcome",
        "packed",
        "queued",
        "ran",
        "slot",
        "stream",
        "timeout",
    )

    packed: Any
    """The call as a slot of its pool sends it; `len` gives its size in bytes."""
    timeout: float | None
    """Seconds that it may run; None or 0 means no limit."""
    finish: bool
    """The model may finish when the caller has left."""
    label: str
    """The name under which the model's output is logged meanwhile."""
    alone: bool
    """It is not taken together with others, nor sent ahead of its turn."""
    on_end: Callable[[Ended], None] | None
    """None when it has been called."""
    queued: float
    """When it came, by the monotonic clock."""
    began: float | None
    """When the model began, by the same clock, as far as the server knows."""
    ran: float | None
    """Seconds that the model took, by the worker's clock."""
    batch: int | None
    """The size of the batch that it leads, if the model takes batches."""
    ended: asyncio.Future[None] | None
    """Set when it is over, if someone waits for that."""
    stream: ReplyStream | None
    """Set when the outcome is a stream, which then ends the call."""

    def __init__(
        self,
        call: Call,
        packed: Any,
        *,
        on_timeout: Callable[["PendingCall"], None],
        on_end: Callable[[Ended], None],
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        self.call = call
        self.packed = packed
        self.method = call.method
        self.alone = call.reports or call.method != "predict"
        self.timeout = timeout
        self.finish = finish
        self.label = label
        self.on_timeout = on_timeout
        self.on_end = on_end
        self.on_event = on_event
        self.queued = time.monotonic()
        self.began = self.ran = self.batch = None
        self.ended = self.stream = None
        self.outcome: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.slot: Slot | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def trains(self) -> bool:
        """Tell whether it is a training."""
        return self.method == "train"

    def begin(self, now: float) -> None:
        """Note that the model begins it: from now on its time runs."""
        self.began = now
        if self.timeout:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self.timeout, self.on_timeout, self)
        if self.on_event is not None:
            self.on_event(_BEGAN)

    def requeue(self) -> None:
        """Note that no slot has it, and that the model has not begun it."""
        self.slot = self.began = self.batch = None
        self._stop_timer()

    def resolve(self, result: Reply | DeepaasError) -> None:
        """Give the caller its answer, once."""
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
        """Give the caller a stream; `resolve` or `end_stream` ends it."""
        self.stream = stream
        reply = Reply(media_type, stream=stream)
        self.renew()
        if self.outcome.done():  # it has run out of time just now
            stream.end()
        else:
            self.outcome.set_result(reply)

    def end_stream(self) -> None:
        """Note that the stream is whole, or was stopped."""
        self.end(200)
        if self.stream is not None:
            self.stream.end()

    def renew(self) -> None:
        """Make a new outcome, for cleaning up, if the caller has left."""
        if self.outcome.cancelled():
            self.outcome = asyncio.get_running_loop().create_future()
            self.outcome.add_done_callback(_retrieve)

    def end(self, status: int) -> None:
        """Tell the listeners, once, that it is over."""
        self._stop_timer()
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
        if self.on_end is None:
            return
        if self.ended is None:
            self.ended = asyncio.get_running_loop().create_future()
        await asyncio.shield(self.ended)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
