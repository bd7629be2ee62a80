"""Everything that the server and a worker may say to each other.

What comes from a worker holds only strings and numbers, so that unpickling it cannot
fail. Messages are named tuples: these are made faster than frozen dataclasses, and to
find a class by its name is most of what pickling one costs.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, get_args

from deepaas.errors import ModelRaised
from deepaas.model.loading import Batching, ModelRef
from deepaas.progress import Batch

DESCRIBE = "deepaas:describe"
"""The question what the model is, documents included: a packed ModelDescription."""

METADATA = "deepaas:metadata"
"""The question for the model's metadata, in JSON; empty if it takes too long."""

LOAD = "deepaas:load"
"""The question for the arguments of a call: a packed `Outcome`."""

QUESTIONS = frozenset((DESCRIBE, METADATA, LOAD))
"""Methods of calls that are ours and not the model's."""


TensorForm: TypeAlias = Literal["bytes", "json"]
"""The form in which the numbers of packed outputs are wanted."""


class Stream(Protocol):
    """Pieces of an answer that is still being made; an async iterator of bytes.

    Raises, where it breaks off, what the model raised or the worker died of.
    """

    def __aiter__(self) -> Stream: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Stop the model where it is, and wait until it has stopped."""


class Envelope(enum.Enum):
    """The form in which a JSON prediction of a model without schema is sent."""

    TEXT = "text"
    """`{"status": "OK", "predictions": "..."}`, with its JSON as a string."""
    JSON = "json"
    """The same, with its JSON as it is."""
    NONE = "none"
    """None: the JSON alone."""


class Start(NamedTuple):
    """To a worker, first of all: load this model."""

    ref: ModelRef
    argv: list[str]
    """The server's command line: some models read it."""
    warm: bool
    envelope: Envelope
    describe: bool = True
    """Say in `Ready` what the model is."""


class Call(NamedTuple):
    """To a worker: call a method of the model. Answered by a Reply or a Raised."""

    method: str
    """The model's, or one of QUESTIONS."""
    kwargs: Mapping[str, Any]
    media_type: str | None = None
    """The media type that was negotiated; None means the model's own choice."""
    reports: bool = False
    """Its reports are sent, in messages of type `progress.Batch`."""
    packed: bytes | str = b""
    """In place of `kwargs`: these, as they were pickled where they were loaded.

    A text is the path of a file that holds them.
    """
    tensors: TensorForm | None = None
    """The reply holds the packed outputs of the Open Inference Protocol, in this form.

    None for another reply.
    """
    uploads: Sequence[tuple[str, str]] = ()
    """Of each upload the path that the arguments have, and the one for the worker."""


class Loaded(NamedTuple):
    """From a worker: the model is loaded; its warming, if asked for, begins."""


class StartFailed(NamedTuple):
    """From a worker: its model cannot be loaded or warmed, and it ends."""

    cause: str
    traceback: str


class Ready(NamedTuple):
    """From a worker: the model is loaded and warm."""

    batching: Batching | None
    description: bytes | None = None
    """A packed ModelDescription, if one was asked for."""


class Reply(NamedTuple):
    """From a worker: what the model returned, as the caller is to receive it.

    One of `body`, `path` (a file to send) and `stream` is set, never two.
    """

    media_type: str
    body: bytes | memoryview | None = None
    path: str | None = None
    delete: bool = False
    """The file is the server's to delete once it is sent."""
    filename: str | None = None
    """The name under which the caller receives it."""
    stream: Stream | None = None
    """Made by the server: pieces that are still to come."""
    size: int | None = None
    """Bytes of a stream, where they are known before it ends."""


class StreamBegan(NamedTuple):
    """From a worker, in place of a Reply: pieces follow, then an End or a Raised."""

    media_type: str


class Piece(NamedTuple):
    """From a worker: a piece of a stream, in the frame's body."""


class End(NamedTuple):
    """From a worker: the stream is whole, or was stopped."""


class Raised(NamedTuple):
    """From a worker: the model raised in a call. Exceptions cross as text."""

    kind: str
    message: str
    traceback: str
    status: int = 500
    """HTTP status for the caller."""
    for_caller: bool = False
    """The caller gets the message without the exception's kind."""

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}" if self.message else self.kind

    def error(self) -> ModelRaised:
        """Return what the caller of the model gets."""
        return ModelRaised(
            self.message if self.for_caller or self.status != 500 else str(self),
            status=self.status,
            kind=self.kind,
            traceback=self.traceback,
        )


ToWorker = Start | Call
FromWorker = (
    Loaded | StartFailed | Ready | Reply | StreamBegan | Piece | End | Raised | Batch
)
Message = ToWorker | FromWorker

KINDS: tuple[type[Message], ...] = get_args(Message)
CODES = {kind: code for code, kind in enumerate(KINDS)}
