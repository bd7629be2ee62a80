"""Executors: where a model computes. The server knows no more of it than this."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from deepaas.executors.messages import Reply
from deepaas.model.loading import ModelRef
from deepaas.progress import Batch

__all__ = [
    "Began",
    "Event",
    "Executor",
    "Limits",
    "Line",
    "Reply",
    "WorkerState",
    "WorkerStatus",
    "create_executor",
]


class WorkerState(enum.Enum):
    """What a worker is doing."""

    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"
    DEAD = "dead"


@dataclass(frozen=True)
class WorkerStatus:
    """A worker as readiness and metrics show it."""

    state: WorkerState
    pid: int
    calls: int
    """Calls that it has ended."""
    cause: str | None = None
    """Why the last worker in this place ended, while this one is not ready."""

    @property
    def ready(self) -> bool:
        """Tell whether it is warm."""
        return self.state in (WorkerState.IDLE, WorkerState.BUSY)


@dataclass(frozen=True)
class Began:
    """A call has left the queue: the model runs."""


@dataclass(frozen=True)
class Line:
    """A line that the model printed or logged, without its end."""

    text: str


Event: TypeAlias = Began | Line | Batch
"""What happens in a call before its end."""


@dataclass(frozen=True)
class Limits:
    """What an executor allows."""

    max_queued: int = 1000
    """Calls that may wait."""
    max_calls: int = 0
    """Calls after which a worker is replaced; 0 for any number."""
    warm_timeout: float = 0
    """Seconds that loading and warming may take; 0 for any time."""


class Executor(Protocol):
    """Runs the calls of one model, each in a worker, in the order of their coming."""

    def launch(self) -> None:
        """Begin to start the workers, without waiting for them. `start` does it too."""

    async def start(self) -> None:
        """Wait until every worker has loaded and warmed its model.

        Raises StartError with the cause when one cannot.
        """

    async def call(
        self,
        method: str,
        kwargs: Mapping[str, Any],
        *,
        media_type: str | None = None,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        on_event: Callable[[Event], None] | None = None,
    ) -> Reply:
        """Call a method of the model; `timeout` is in seconds of its running.

        What the model prints meanwhile is logged under `label`. `on_event` is called
        on the event loop, in order, and must not raise.

        Cancelling drops a call that waits. One that runs loses its worker; with
        `finish` the model may finish first, and the cancellation takes effect then.
        Raises ModelRaised, WorkerDied, CallTimeout or Unavailable.
        """

    def admit(self, method: str) -> None:
        """Raise Unavailable if a call could not even wait now."""

    def workers(self) -> list[WorkerStatus]:
        """Describe the workers as they are now."""

    async def close(self, grace: float) -> None:
        """End: no new calls, those that run have `grace` seconds, no process stays."""


def create_executor(
    ref: ModelRef,
    *,
    workers: int = 1,
    warm: bool = True,
    raw_predictions: bool = False,
    limits: Limits | None = None,
    train_workers: int = 0,
) -> Executor:
    """Make the executor of a model, with `workers` processes on this machine.

    Up to `train_workers` more are started for trainings; with 0 they share the workers.
    """
    # A worker imports this package too, and has no use for the parent's side.
    from deepaas.executors.local import LocalExecutor, TrainingExecutor

    limits = limits or Limits()
    trainings = None
    if train_workers:
        trainings = TrainingExecutor(
            ref,
            workers=train_workers,
            warm=warm,
            raw_predictions=raw_predictions,
            limits=limits,
        )
    return LocalExecutor(
        ref,
        workers=workers,
        warm=warm,
        raw_predictions=raw_predictions,
        limits=limits,
        trainings=trainings,
    )
