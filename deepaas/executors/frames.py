"""Frames: how messages travel between the server and a worker.

A frame is a header (which message, the sizes of what follows in bytes, and the seconds
that the model took), the pickled fields of the message, and, for a reply or a piece of
a stream, its body as it is: large answers are never copied by the pickler.
"""

import mmap
import pickle
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deepaas.errors import BadBody, ModelRaised
from deepaas.executors.messages import CODES, KINDS, Call

HEADER = struct.Struct("!BQQd")

READ_BYTES = 65536
"""Bytes read at once; a larger frame is read into memory of its own."""


def pack(
    message: Any,
    body: bytes | memoryview = b"",
    seconds: float = 0,
    codes: Mapping[type[Any], int] = CODES,
) -> bytes:
    """Encode a message and the header of its frame; the body is sent after it.

    `codes` are the kinds of messages that the receiver knows. Raises what pickle raises
    for arguments that cannot be pickled.
    """
    fields = pickle.dumps(tuple(message), protocol=5)
    head = HEADER.pack(codes[type(message)], len(fields), len(body), seconds)
    return head + fields


def pack_call(call: Call) -> bytes:
    """Encode a call. Raises BadBody or ModelRaised for arguments that are not sent."""
    try:
        return pack(call)
    except RecursionError as error:
        raise BadBody("An argument is nested too deeply.") from error
    except Exception as error:  # an author's own class may raise anything
        raise ModelRaised(
            f"An argument cannot be sent to the worker: {error}"
        ) from error


def unpack(
    code: int,
    fields: bytes | bytearray | memoryview,
    kinds: Sequence[type[Any]] = KINDS,
) -> Any:
    """Return the message that was encoded.

    Raises any exception that an author's class raises when it does not unpickle.
    """
    return kinds[code](*pickle.loads(fields))


class Frame(NamedTuple):
    """The content of one frame."""

    message: Any
    body: bytes | memoryview
    seconds: float
    """Seconds that the model took."""


class FrameReader:
    """Cuts the bytes that come into frames.

    Invariants: the pieces are received into `buffer()`, which is never empty; frames
    come out whole, once and in order; a body stays valid after later pieces; a frame of
    up to READ_BYTES costs no memory of its own before it is whole, a larger one as much
    as its header says.
    """

    def __init__(self, kinds: Sequence[type[Any]] = KINDS) -> None:
        self._kinds = kinds
        self._received = bytearray(READ_BYTES)
        self._filled = 0
        self._large: mmap.mmap | None = None
        """Memory for a large frame: the kernel clears it page by page as it comes."""

    def buffer(self) -> memoryview:
        """Return the memory for the next bytes."""
        buffer = self._received if self._large is None else self._large
        return memoryview(buffer)[self._filled :]

    def received(self, count: int) -> list[Frame]:
        """Return the frames that are whole now that `count` more bytes have come."""
        self._filled += count
        view = memoryview(self._received if self._large is None else self._large)
        frames: list[Frame] = []
        start = 0
        while self._filled - start >= HEADER.size:
            code, head, size, seconds = HEADER.unpack_from(view, start)
            middle = start + HEADER.size + head
            end = middle + size
            if end > self._filled:
                break
            fields = view[start + HEADER.size : middle]
            message = unpack(code, fields, self._kinds)
            body = bytes(view[middle:end]) if self._large is None else view[middle:]
            frames.append(Frame(message, body, seconds))
            start = end
        self._filled -= start
        if start and self._large is not None:
            self._large = None
        elif start and self._filled:
            view[: self._filled] = view[start : start + self._filled]
        self._make_room()
        return frames

    def feed(self, data: bytes | memoryview) -> list[Frame]:
        """Return the frames that are whole with bytes that came in another way."""
        frames = []
        rest = memoryview(data)
        while rest:
            buffer = self.buffer()
            count = min(len(buffer), len(rest))
            buffer[:count] = rest[:count]
            frames += self.received(count)
            rest = rest[count:]
        return frames

    def _make_room(self) -> None:
        """Get memory for a large frame that has begun to come."""
        if self._large is None and self._filled >= HEADER.size:
            _, head, size, _ = HEADER.unpack_from(self._received)
            whole = HEADER.size + head + size
            if whole > len(self._received):
                self._large = mmap.mmap(-1, whole)
                self._large[: self._filled] = self._received[: self._filled]
