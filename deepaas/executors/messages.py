"""Everything that the server and a worker may say to each other, and the frames.

A frame is a header (which message, the sizes of what follows in bytes, and the seconds
that the model took), the pickled fields of the message, and, for a reply, its body as
it is: large answers are never copied by the pickler. What comes from a worker holds
only strings and numbers, so that unpickling it cannot fail. Messages are named tuples:
these are made faster than frozen dataclasses, and to find a class by its name is most
of what pickling one costs.

A call is sent before the worker can begin it. It begins when the worker takes the
call's ticket, from a second socket, of which the server has both ends: so the server
can take a ticket back. Whoever reads a ticket has it, and the other does not.
"""

from __future__ import annotations

import enum
import pickle
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from deepaas.errors import ModelRaised
from deepaas.model.loading import Batching, ModelRef
from deepaas.progress import Batch

if TYPE_CHECKING:
    from deepaas.executors.stream import ReplyStream

HEADER = struct.Struct("!BQQd")

TICKET = struct.Struct("!QQ")
"""The number of a call, counted as they are sent to this worker, and how many from it
on are to be called together; none of them: stop the stream that you are sending."""


class Envelope(enum.Enum):
    """What the prediction of a model without schema is sent in, if it is no file."""

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


class Call(NamedTuple):
    """To a worker: call a method of the model. Answered by a Reply or a Raised."""

    method: str
    kwargs: Mapping[str, Any]
    media_type: str | None = None
    """What the caller accepts, as negotiated; None for the model's own choice."""
    reports: bool = False
    """What it reports is sent, in messages of type `progress.Batch`."""


class Ready(NamedTuple):
    """From a worker: the model is loaded and warm."""

    batching: Batching | None


class Reply(NamedTuple):
    """From a worker: what the model returned, as the caller is to receive it.

    Either `body` (bytes) or `path` (a file to send) is set.
    """

    media_type: str
    body: bytes | memoryview | None = None
    path: str | None = None
    delete: bool = False
    """The file is the server's to delete once it is sent."""
    filename: str | None = None
    """The name under which the caller receives it."""
    stream: ReplyStream | None = None
    """The server's own: pieces that are still to come, in place of both."""


class StreamBegan(NamedTuple):
    """From a worker, in place of a Reply: pieces follow, then an End or a Raised."""

    media_type: str


class Piece(NamedTuple):
    """From a worker: a piece of a stream, in the frame's body."""


class End(NamedTuple):
    """From a worker: the stream is whole, or was stopped."""


class Raised(NamedTuple):
    """From a worker: loading, warming or calling raised. Exceptions cross as text."""

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
FromWorker = Ready | Reply | StreamBegan | Piece | End | Raised | Batch
Message = ToWorker | FromWorker

KINDS: tuple[type[Message], ...] = get_args(Message)
CODES = {kind: code for code, kind in enumerate(KINDS)}


def pack(message: Message, body: bytes | memoryview = b"", seconds: float = 0) -> bytes:
    """Encode a message and the header of its frame; the body is sent after it.

    Raises what pickle raises for arguments that cannot be pickled.
    """
    fields = pickle.dumps(tuple(message), protocol=5)
    head = HEADER.pack(CODES[type(message)], len(fields), len(body), seconds)
    return head + fields


def unpack(code: int, fields: bytes | bytearray | memoryview) -> Message:
    """Return the message that was encoded.

    Raises whatever an author's class does that does not unpickle.
    """
    return KINDS[code](*pickle.loads(fields))
