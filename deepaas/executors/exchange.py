"""Two sequences of bytes between a gateway and a place, over calls that have answers.

A place cannot call its gateway, so the gateway always has one call open there, which
the place answers when it has something to send. A call that brings bytes to the place
is the second one; the answer to these bytes goes out by the first, and the second stays
open. So a call of a model costs one call of the place. Calls and answers are numbered:
they may overtake each other on the way.
"""

import asyncio
from collections import deque
from collections.abc import Callable

MAX_ANSWER_BYTES = 2 * 1024 * 1024
"""Most bytes of one answer."""

MAX_OPEN_CALLS = 2
"""Calls that stay open while there is nothing to send."""

OPEN_SECONDS = 2.0
"""Seconds after which a place answers a call even if it has nothing to send."""


class InOrder:
    """Passes on numbered pieces in the order of their numbers."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._next = 0
        self._early: dict[int, bytes] = {}

    def add(self, number: int, data: bytes) -> None:
        """Add a piece; empty ones only keep the count."""
        self._early[number] = data
        while self._next in self._early:
            piece = self._early.pop(self._next)
            self._next += 1
            if piece:
                self._take(piece)


class Outbox:
    """The bytes that a place has to send, and the calls that it may answer with them.

    Invariants: bytes leave in the order in which they were put; at most
    MAX_OPEN_CALLS are open when there is nothing to send.
    """

    def __init__(self) -> None:
        self._parts: deque[memoryview] = deque()
        self._size = 0
        self._open: deque[asyncio.Future[tuple[int, bytes]]] = deque()
        self._number = 0
        self._flushing = False
        self._emptied = asyncio.Event()
        self._emptied.set()

    def put(self, *parts: bytes | memoryview) -> None:
        """Add bytes. They are sent in the next turn of the event loop."""
        for part in parts:
            if part:
                self._parts.append(memoryview(part))
                self._size += len(part)
        if self._size > MAX_ANSWER_BYTES:
            self._emptied.clear()
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def room(self) -> None:
        """Wait until less than MAX_ANSWER_BYTES are left to send."""
        await self._emptied.wait()

    async def answer(self) -> tuple[int, bytes]:
        """Return the next bytes to send with their number, when there are some."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[tuple[int, bytes]] = loop.create_future()
        self._open.append(future)
        timer = loop.call_later(OPEN_SECONDS, self._resolve, future)
        self._flush()
        while len(self._open) > MAX_OPEN_CALLS:
            self._resolve(self._open[0])
        try:
            return await future
        finally:
            timer.cancel()

    def _flush(self) -> None:
        self._flushing = False
        while self._open and self._size:
            self._resolve(self._open[0])

    def _resolve(self, future: "asyncio.Future[tuple[int, bytes]]") -> None:
        if future in self._open:
            self._open.remove(future)
        if not future.done():
            future.set_result((self._number, self._next_bytes()))
            self._number += 1

    def _next_bytes(self) -> bytes:
        taken, size = [], 0
        while self._parts and size < MAX_ANSWER_BYTES:
            part = self._parts.popleft()
            rest = MAX_ANSWER_BYTES - size
            if len(part) > rest:
                self._parts.appendleft(part[rest:])
                part = part[:rest]
            taken.append(part)
            size += len(part)
        self._size -= size
        if self._size <= MAX_ANSWER_BYTES:
            self._emptied.set()
        return b"".join(taken)
