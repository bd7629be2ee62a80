"""The protocol of an executor, its events and its statuses."""

import enum
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

from deepaas.executors.messages import Reply, TensorForm
from deepaas.model.description import ModelDescription
from deepaas.progress import Batch


class WorkerState(enum.Enum):
    """The state of a worker."""

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
    since: float
    """Seconds since its state changed, or it began another call."""
    memory: int = 0
    """Bytes that it and its children had in use when last measured; 0 before that."""
    host: str = ""
    """The machine on which `pid` is its number."""
    trains: bool = False
    """It was started for a training."""
    gpu: str | None = None
    """The one that it sees, if it was given one."""

    @property
    def ready(self) -> bool:
        """Tell whether it is warm."""
        return self.state in (WorkerState.IDLE, WorkerState.BUSY)


class Began(NamedTuple):
    """A call has left the queue: the model runs."""


@dataclass(frozen=True)
class Line:
    """A line that the model printed or logged, without its end."""

    text: str


class Ended(NamedTuple):
    """A call is over, or did not begin."""

    method: str
    status: int
    """As in HTTP; 499 if its caller has left."""
    waited: float
    """Seconds in the queue."""
    ran: float | None
    """Seconds in the model; None if it did not begin."""
    batch: int | None = None
    """Calls in the batch that it led; None if it led none."""


class Printed(NamedTuple):
    """Lines that a worker printed or logged, in its calls or outside of any."""

    model: str
    host: str
    pid: int
    """The worker's process on that machine."""
    label: str
    """Those of the calls that it had, with commas; empty outside of any."""
    lines: list[str]


Event: TypeAlias = Began | Line | Batch | Ended
"""Something that happens in a call."""


@dataclass(frozen=True)
class ExecutorStatus:
    """The workers of a model, and the calls that are on their way."""

    workers: list[WorkerStatus]
    waiting: Mapping[str, int]
    """Calls that wait, by method, as with the next one."""
    running: Mapping[str, int]
    replaced: Mapping[str, int]
    """Workers that were replaced since the start, by cause."""
    cause: str | None = None
    """The reason why the last worker was lost."""

    @property
    def ready(self) -> bool:
        """Tell whether a worker is warm that takes any call."""
        return any(worker.ready and not worker.trains for worker in self.workers)

    @property
    def trains_in_all(self) -> bool:
        """Tell whether trainings have all workers that take any call."""
        shared = sum(worker.ready and not worker.trains for worker in self.workers)
        apart = sum(
            worker.trains and worker.state is WorkerState.BUSY
            for worker in self.workers
        )
        trainings = self.running.get("train", 0) - apart
        return 0 < shared <= trainings


@dataclass(frozen=True)
class Limits:
    """Limits of an executor and its workers."""

    max_queued: int = 1000
    """Calls that may wait."""
    max_calls: int = 0
    """Calls after which a worker is replaced; 0 means no limit."""
    max_memory: int = 0
    """Bytes of memory over which a worker is replaced; 0 means no limit."""
    warm_timeout: float = 0
    """Seconds that loading and warming may take; 0 means no limit."""


@dataclass(frozen=True)
class Local:
    """Worker processes on this machine run the model."""

    workers: int = 1
    train_workers: int = 0
    """Processes for trainings, each started for one of them; with 0 they share the
    workers."""
    gpus: Sequence[str] = ()
    """Each worker sees one of these as CUDA_VISIBLE_DEVICES, round robin."""

    def gpu(self, number: int) -> str | None:
        """Return the GPU of a worker by its number; those that train come last."""
        return self.gpus[number % len(self.gpus)] if self.gpus else None


@dataclass(frozen=True)
class Cluster:
    """Places on the nodes of a Ray cluster run the model, each in a process there."""

    address: str
    """`HOST:PORT` of the cluster's head, or `auto`."""
    workers: int = 1
    train_workers: int = 0
    """Places for trainings, each made for one of them; with 0 they share the others."""
    cpus: float = 1
    """Reserved by the cluster for each place, as the next two."""
    gpus: float = 0
    resources: Mapping[str, float] = field(default_factory=dict)
    shared: list[Any] = field(default_factory=list, compare=False, repr=False)
    """The connection that all executors made from this value share."""

    def gpu(self, number: int) -> str | None:
        """Return None: the cluster chooses the GPU of a worker."""
        return None


class Executor(Protocol):
    """Runs the calls of one model, each in a worker, in the order of their arrival."""

    def launch(self) -> None:
        """Begin to start the workers, without waiting for them. `start` does it too."""

    async def start(self) -> None:
        """Wait until every worker has loaded and warmed its model.

        Raises StartError with the cause when one cannot.
        """

    @property
    def description(self) -> ModelDescription:
        """Describe the model: as it was when it was last read. Needs no model's code.

        It is there once a worker has started, and is replaced by another one when the
        model has been read again.
        """

    async def documented(self) -> ModelDescription:
        """Describe the model with its documents, which are made when first needed.

        Raises ModelRaised for what the author's code raises, WorkerDied, CallTimeout
        or Unavailable.
        """

    async def read_again(self) -> None:
        """Read in a new process what the author declares; keep what is known if not.

        This begins when a training has ended well.
        """

    async def renewed(self) -> bool:
        """Wait until what is being read again has been read; tell if that was so."""

    async def metadata(self) -> bytes:
        """Call the model's `get_metadata`, out of the way of its calls.

        Returns JSON. Raises as `documented` does.
        """

    async def load(self, kwargs: Mapping[str, Any]) -> bytes:
        """Load the values of a call where the author's code is.

        `kwargs` are those of `Describer.load`, which says what is returned. Raises as
        `documented` does.
        """

    async def call(
        self,
        method: str,
        kwargs: Mapping[str, Any] | bytes | Path,
        *,
        media_type: str | None = None,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        reports: bool = False,
        tensors: TensorForm | None = None,
        on_event: Callable[[Event], None] | None = None,
        uploads: Sequence[str] = (),
    ) -> Reply:
        """Call a method of the model; `timeout` is in seconds of its running.

        `kwargs` are bytes, or a file of the bytes, if they were pickled already.

        What the model prints meanwhile is logged under `label`. `on_event` is called
        on the event loop, in order, and must not raise; with `reports`, what the model
        reports is an event too. With `tensors` the reply holds packed outputs in that
        form (`deepaas/tensors/outputs.py`). `uploads` are the paths of the files in the
        arguments, which a worker on another machine gets a copy of.

        Cancelling drops a call that waits. One that runs loses its worker; with
        `finish` the model may finish first, and the cancellation takes effect then.
        Raises ModelRaised, WorkerDied, CallTimeout or Unavailable.
        """

    async def call_together(
        self,
        calls: Sequence[
            tuple[Mapping[str, Any] | bytes | Path, str | None, Sequence[str]]
        ],
        *,
        timeout: float | None = None,
        label: str = "",
        tensors: TensorForm | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> list[Reply]:
        """Make several predictions of one caller.

        Each is of arguments, a media type, and the paths of the files in the arguments.
        A model that takes batches gets them together. They have one place in the limit
        of the queue. The first that fails ends the others: raises RowFailed. The rest
        is as in `call`, with `finish`.
        """

    def admit(self, method: str) -> ExitStack:
        """Reserve room for a call that is to come, until what is returned is closed.

        Raises Unavailable if the call could not even wait.
        """

    def status(self) -> ExecutorStatus:
        """Describe the workers and the calls as they are now.

        The memory is that of the last measurement.
        """

    async def measure(self) -> ExecutorStatus:
        """Describe them as `status` does, with the memory as it is now."""

    def listen(
        self,
        on_end: Callable[[Ended], None] | None = None,
        on_output: Callable[[Printed], None] | None = None,
        on_ready: Callable[[float], None] | None = None,
    ) -> None:
        """Call `on_end` at the end of each call, and `on_output` with all output.

        `on_ready` is called once, when all workers are warm, with the seconds that this
        took. They are called on the event loop, and must not raise.
        """

    async def reload(self) -> None:
        """Replace every worker by one that loads the model's files again.

        No call is lost: an old worker finishes what it has begun. Raises StartError
        with the cause if a new worker cannot be warmed; the old ones stay then.
        """

    async def close(self, grace: float) -> None:
        """End: no new calls, those that run have `grace` seconds, no process stays."""


def rotated(gpus: Sequence[str], by: int) -> list[str]:
    """Return the GPUs as they are counted after `by` places."""
    start = by % len(gpus) if gpus else 0
    return [*gpus[start:], *gpus[:start]]
