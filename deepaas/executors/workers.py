"""The methods that a pool needs of its workers, on this machine or another."""

import time
from collections import deque
from typing import Protocol, TypeVar

from deepaas.executors.base import Printed, WorkerState, WorkerStatus
from deepaas.executors.calls import ExitReason, PendingCall, Slot
from deepaas.model.loading import Batching

W = TypeVar("W", contravariant=True)


class WorkerEvents(Protocol[W]):
    """The events of a worker, for its pool. They come on the event loop."""

    def on_ready(self, worker: W) -> None:
        """It has warmed its model, and is idle."""

    def on_answered(self, worker: W) -> None:
        """It has answered calls; it goes on with the next one, or is idle."""

    def on_stream(self, worker: W) -> None:
        """It has begun a stream, which may take long."""

    def on_exit(self, worker: W) -> None:
        """Its socket has ended, so it is dead or dies; it must be given no calls."""

    def on_output(self, printed: Printed) -> None:
        """It has printed lines, in a call or outside of one."""


class Where(Protocol):
    """The place of a pool: how many workers it has, and what each gets."""

    @property
    def workers(self) -> int:
        """Return how many workers are kept."""

    @property
    def train_workers(self) -> int:
        """Return how many workers there may be for trainings."""

    def gpu(self, number: int) -> str | None:
        """Return the GPU of a worker by its number, None for none of its own."""


class Process(Protocol):
    """The process of a worker, as the pool asks for its end."""

    failure: str | None
    """The reason why it did not start, or was killed."""

    def cause(self) -> str:
        """Return why a model has lost this worker."""

    def death(self) -> str:
        """Return what the process died of."""

    def exit_reason(self, *, warmed: bool) -> str:
        """Return in one word why it ended, for metrics."""


class Worker(Slot, Protocol):
    """A slot with a process that the pool starts and ends, here or elsewhere."""

    number: int
    """Its number among the workers of the model; a replacement inherits it."""
    warmed: bool
    """It has warmed its model; it may be dead by now."""
    retired: bool
    """It was told to exit: its exit is not a failure."""
    description: bytes | None
    """The packed ModelDescription that it sent; None if it was not asked for."""

    @property
    def process(self) -> Process:
        """Return its process."""

    @property
    def state(self) -> WorkerState:
        """Return its state."""

    @property
    def current(self) -> PendingCall | None:
        """Return the call that it answers next."""

    @property
    def pid(self) -> int:
        """Return the number of its process."""

    @property
    def calls(self) -> int:
        """Return how many calls it has answered."""

    def status(self, *, trains: bool) -> WorkerStatus:
        """Describe it; `trains` says what it was started for."""

    async def connect(self) -> None:
        """Hand it to the event loop, once."""

    def kill(self, reason: ExitReason, words: str = "") -> None:
        """End its process as soon as possible."""

    async def end(self, grace: float) -> None:
        """Let its process exit by itself, within `grace` seconds."""

    async def collect(self) -> None:
        """Collect the dead process, and pass on the last that it printed."""

    async def measure(self) -> int:
        """Measure its memory; return the bytes."""


class WorkerSlot:
    """The state of a worker, and the calls that it was given."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        """The model's name."""
        self.number = number
        """Its number among the workers of the model; a replacement inherits it."""
        self.batching: Batching | None = None
        self.description: bytes | None = None
        """The packed ModelDescription that it sent; None if it was not asked for."""
        self.given: deque[PendingCall] = deque()
        self.warmed = False
        """It has warmed its model; it may be dead by now."""
        self.retired = False
        """It was told to exit: its exit is not a failure."""
        self._state = WorkerState.STARTING
        self._since = time.monotonic()

    @property
    def state(self) -> WorkerState:
        """Return its state."""
        return self._state

    @state.setter
    def state(self, state: WorkerState) -> None:
        self._state = state
        self._since = time.monotonic()

    @property
    def warm(self) -> bool:
        """Tell whether it can run more calls, now or after those that it has."""
        return self.warmed and not self.retired and self._state is not WorkerState.DEAD

    @property
    def idle(self) -> bool:
        """Tell whether it is warm and has no calls."""
        return self._state is WorkerState.IDLE

    @property
    def trains(self) -> bool:
        """Tell whether it runs a training."""
        return bool(self.given) and self.given[0].trains

    @property
    def streams(self) -> bool:
        """Tell whether it sends a stream."""
        return bool(self.given) and self.given[0].stream is not None

    @property
    def since(self) -> float:
        """Return the seconds since its state changed, or it began another call."""
        return time.monotonic() - self._since

    @property
    def current(self) -> PendingCall | None:
        """Return the call that it answers next."""
        return self.given[0] if self.given else None
