"""Files of calls on their way between the server and a place."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from deepaas.errors import DeepaasError, DiskErrors, named
from deepaas.executors.calls import PendingCall
from deepaas.executors.place_messages import (
    MAX_PIECE_BYTES,
    MAX_UNWRITTEN_PIECES,
    ToPlace,
    Upload,
)
from deepaas.executors.stream import ReplyStream


class ReadyCall(NamedTuple):
    """A call whose files the place has."""

    number: int
    """The number by which messages name it."""
    call: PendingCall
    packed: bytes
    returned: tuple[str, str] | None = None
    """The path here of a file that comes back, and its name in the place's folder."""


class FileSender:
    """Sends files to a place, one after another, and waits for its disk."""

    def __init__(self, send: Callable[[ToPlace, bytes], None]) -> None:
        self._send = send
        self._unwritten = asyncio.Semaphore(MAX_UNWRITTEN_PIECES)
        self._call: int | None = None

    async def send(self, call: int, path: str, name: str) -> None:
        """Send a file of a call, under a name. Raises OSError if it cannot be read."""
        with await asyncio.to_thread(open, path, "rb") as file:
            self._call = call
            self._unwritten = asyncio.Semaphore(MAX_UNWRITTEN_PIECES)
            first = True
            while (
                data := await asyncio.to_thread(file.read, MAX_PIECE_BYTES)
            ) or first:
                first = False
                await self._unwritten.acquire()
                self._send(Upload(call, name), data)

    def note_written(self, call: int) -> None:
        """Note that a piece of a file of this call is on the place's disk."""
        if call == self._call:
            self._unwritten.release()


def _open(path: str) -> BinaryIO:
    # Not created: the server has removed it if the caller has left.
    return open(os.open(path, os.O_WRONLY | os.O_TRUNC), "wb")


class FileReceiver:
    """Writes a file that comes from a place to one that there is here."""

    def __init__(self, path: str, pause: Callable[[bool], None]) -> None:
        self._stream = ReplyStream(pause, _ignore)
        self._writing = asyncio.create_task(self._write(path))
        self.feed = self._stream.feed

    async def _write(self, path: str) -> DeepaasError | None:
        """Return the error of the disk, or that of the stream."""
        failed: DeepaasError | None = None
        try:
            file = await asyncio.to_thread(_open, path)
            with DiskErrors(), file:
                async for data in self._stream:
                    await asyncio.to_thread(file.write, data)
        except OSError as error:
            failed = DeepaasError(f"The arguments cannot be written: {named(error)}")
        except DeepaasError as error:
            failed = error
        with contextlib.suppress(DeepaasError):
            async for _ in self._stream:  # else the place waits for a reader
                pass
        return failed

    def end(self, then: Callable[[DeepaasError | None], None]) -> None:
        """Note that the file is whole; call `then` when it is written, or cannot be."""

        def tell(writing: "asyncio.Task[DeepaasError | None]") -> None:
            if not writing.cancelled():  # with the event loop
                then(writing.result())

        self._stream.end()
        self._writing.add_done_callback(tell)

    def lose(self, error: DeepaasError) -> None:
        """Note that the rest of the file does not come."""
        self._stream.end(error)


def _ignore() -> None:
    pass
