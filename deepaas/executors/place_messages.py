"""Everything that a server, its gateway and the places on a cluster say to each other.

The messages are sent as frames (`frames.py`), with tables of kinds of their own. What
comes from a place holds only strings, numbers, bytes and classes of deepaas.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, get_args

from deepaas.errors import DeepaasError, ModelRaised, NoSpace
from deepaas.executors.messages import Start
from deepaas.model.loading import Batching
from deepaas.progress import Batch

MAX_PIECE_BYTES = 1024 * 1024
"""Bytes of a file or a stream that are sent at once."""

MAX_UNWRITTEN_PIECES = 4
"""Pieces of an upload that are on their way to a place."""


# -- from the server to a place


class StartWorker(NamedTuple):
    """Start a worker process. Answered by WorkerStarted, then WorkerWarm."""

    worker: int
    """The number by which the other messages name it."""
    start: Start
    environment: Mapping[str, str]
    """Variables for the model, unless the node has set them."""
    folder: str | None
    """The working folder, if the node has it."""


class CallHead(NamedTuple):
    """One call of a `RunCalls`; its packed frame follows in the body."""

    call: int
    """The number by which the other messages name it."""
    method: str
    reports: bool
    label: str
    size: int
    """Bytes of the packed frame."""
    returns: str = ""
    """A file in the place's folder that is sent, in pieces, before the answer."""


class RunCalls(NamedTuple):
    """Call the model, once or together; the uploads have been written."""

    worker: int
    calls: list[CallHead]


class KillWorker(NamedTuple):
    """End a worker process and all that it started. Answered by WorkerExited."""

    worker: int
    reason: str
    """The name of an ExitReason."""
    words: str


class EndWorker(NamedTuple):
    """Let a worker process exit by itself. Answered by WorkerExited."""

    worker: int
    grace: float
    """Seconds."""


class MeasureWorker(NamedTuple):
    """Measure the memory of a worker. Answered by WorkerMeasured."""

    worker: int


class PauseStream(NamedTuple):
    """Send no more pieces of a stream or a file, or go on."""

    call: int
    wait: bool


class StopStream(NamedTuple):
    """The reader of a stream or a file has left."""

    call: int


class Upload(NamedTuple):
    """A piece of a file of a call, in the body. Answered by Written."""

    call: int
    name: str
    """The file's name in the place's folder."""


class DropUploads(NamedTuple):
    """Delete the files of a call that is not sent."""

    call: int


# -- from a place to the server


class WorkerStarted(NamedTuple):
    """A worker process was started."""

    worker: int
    pid: int


class WorkerWarm(NamedTuple):
    """A worker has loaded and warmed its model."""

    worker: int
    batching: Batching | None
    description: bytes | None
    """A packed ModelDescription, if one was asked for."""


class WorkerExited(NamedTuple):
    """A worker process has ended, and is collected."""

    worker: int
    death: str
    """The cause of its death."""
    cause: str
    """The reason for which the model has lost it."""
    failure: str | None
    """The reason for which it did not start, or was killed."""
    reason: str
    """One word for metrics."""


class WorkerMeasured(NamedTuple):
    """The memory of a worker, in bytes."""

    worker: int
    memory: int


class Lines(NamedTuple):
    """Lines that a worker printed."""

    worker: int
    label: str
    lines: list[str]


class Progress(NamedTuple):
    """Reports of a job."""

    call: int
    batch: Batch


class Replied(NamedTuple):
    """The answer of a call, in the body; with `size`, its pieces follow."""

    call: int
    media_type: str
    filename: str | None
    size: int | None


class Failed(NamedTuple):
    """The model raised, or the place could not serve the call."""

    call: int
    kind: str
    message: str
    traceback: str
    status: int

    def error(self) -> DeepaasError:
        """Return what the caller gets."""
        if self.kind == NoSpace.__name__:
            return NoSpace()
        return ModelRaised(
            self.message, status=self.status, kind=self.kind, traceback=self.traceback
        )


class StreamOpened(NamedTuple):
    """In place of an answer: pieces follow, then StreamEnded or Failed."""

    call: int
    media_type: str


class StreamPiece(NamedTuple):
    """A piece of a stream or a file, in the body.

    Before the answer, it is one of the file that the call returns.
    """

    call: int


class StreamEnded(NamedTuple):
    """A stream or a file is whole, or was stopped."""

    call: int


class Written(NamedTuple):
    """A piece of an upload is on the place's disk."""

    call: int


ToPlace = (
    StartWorker
    | RunCalls
    | KillWorker
    | EndWorker
    | MeasureWorker
    | PauseStream
    | StopStream
    | Upload
    | DropUploads
)
FromPlace = (
    WorkerStarted
    | WorkerWarm
    | WorkerExited
    | WorkerMeasured
    | Lines
    | Progress
    | Replied
    | Failed
    | StreamOpened
    | StreamPiece
    | StreamEnded
    | Written
)
PlaceMessage = ToPlace | FromPlace


# -- between the server and its gateway


class OpenPlace(NamedTuple):
    """To the gateway: make a place. Answered by PlaceOpened or PlaceLost."""

    place: int
    name: str
    """The model's name, for the cluster's own lists."""
    cpus: float
    gpus: float
    resources: Mapping[str, float]


class PlaceData(NamedTuple):
    """Bytes to or from a place, in the body: a part of a sequence of its frames."""

    place: int


class ClosePlace(NamedTuple):
    """To the gateway: end a place. Answered by PlaceLost."""

    place: int


class PlaceFacts(NamedTuple):
    """The facts that a place sends when it has begun."""

    version: str
    """Of deepaas on its node."""
    host: str
    pid: int
    """The process of the place."""
    folder: str
    """The folder in which the files of calls are written."""
    gpu: str | None
    """CUDA_VISIBLE_DEVICES, if the cluster has set it."""


class PlaceOpened(NamedTuple):
    """From the gateway: a place has begun on a node."""

    place: int
    facts: PlaceFacts


class PlaceWaits(NamedTuple):
    """From the gateway: the cluster has had no room for a place for a while."""

    place: int
    words: str


class PlaceLost(NamedTuple):
    """From the gateway: a place has ended, or could not be made."""

    place: int
    words: str


class GatewayFailed(NamedTuple):
    """From the gateway, before it exits: the cluster cannot be used."""

    words: str


GatewayMessage = (
    OpenPlace
    | PlaceData
    | ClosePlace
    | PlaceOpened
    | PlaceWaits
    | PlaceLost
    | GatewayFailed
)

PLACE_KINDS: tuple[type[PlaceMessage], ...] = get_args(PlaceMessage)
GATEWAY_KINDS: tuple[type[GatewayMessage], ...] = get_args(GatewayMessage)

PLACE_CODES = {kind: code for code, kind in enumerate(PLACE_KINDS)}
GATEWAY_CODES = {kind: code for code, kind in enumerate(GATEWAY_KINDS)}
