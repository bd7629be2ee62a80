"""A stream in the server: between a worker that yields and a caller who reads."""

import asyncio
from collections import deque
from collections.abc import Callable

from deepaas.errors import DeepaasError

MAX_UNREAD_BYTES = 1024 * 1024
"""Bytes that wait for a slow reader, until the worker has to wait too."""


class ReplyStream:
    """A `Stream` of the items that a worker yields. A piece may hold several."""

    def __init__(
        self, pause: Callable[[bool], None], abandon: Callable[[], None]
    ) -> None:
        self._pause = pause
        """Lets the worker wait, or go on."""
        self._abandon = abandon
        """Tells the worker that the reader has left."""
        self._pieces: deque[bytes | memoryview] = deque()
        self._size = 0
        self._paused = False
        self._more = asyncio.Event()
        self._closed = False
        self._error: DeepaasError | None = None
        self.ended = asyncio.Event()
        """The worker is done with it."""

    def feed(self, piece: bytes | memoryview) -> None:
        """Add bytes that the worker has sent."""
        if self._closed:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > MAX_UNREAD_BYTES:
            self._let_wait(True)
        self._more.set()

    def _let_wait(self, wait: bool) -> None:
        if wait is not self._paused:
            self._paused = wait
            self._pause(wait)

    def end(self, error: DeepaasError | None = None) -> None:
        """End the stream; with an error, the reader gets it after the last piece."""
        if not self.ended.is_set():
            self._error = error
            self._let_wait(False)  # what comes now is not of this stream
            self.ended.set()
            self._more.set()

    def __aiter__(self) -> "ReplyStream":
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self.ended.is_set():
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        taken, size = [], 0
        while self._pieces and size < MAX_UNREAD_BYTES:  # more may be on its way
            taken.append(self._pieces.popleft())
            size += len(taken[-1])
        self._size -= size
        if self._size <= MAX_UNREAD_BYTES:
            self._let_wait(False)
        return b"".join(taken)

    async def aclose(self) -> None:
        """Stop the model where it is, and wait until it has stopped."""
        self._closed = True
        if not self.ended.is_set():
            self._abandon()
            self._let_wait(False)
            await self.ended.wait()
