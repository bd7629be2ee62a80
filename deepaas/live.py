"""A job that has not ended: its state, its call, and its log on the way to the disk.

It lives on the event loop, and is stored by others.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from deepaas.errors import DeepaasError
from deepaas.executors import Reply
from deepaas.store import Job, Status

logger = logging.getLogger(__name__)

LONGEST_LOG = 100 * 1024 * 1024
"""Bytes of a job's log at the most; the rest is only in the server's."""


class Live:
    """A job that has not ended."""

    def __init__(self, job: Job, append: Callable[[bytes], Awaitable[None]]) -> None:
        self.job = job
        self.log = Log(append)
        self.task: asyncio.Task[None]
        """Sees to the job from its first record to its last."""
        self.call: asyncio.Task[Reply] | None = None
        self.verdict: dict[str, Any] | None = None
        """How it ends because someone told it to."""
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = loop.create_future()
        """Its record is stored; or the reason why it is not."""
        self.accepted.add_done_callback(lambda accepted: accepted.exception())
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        """Set, and replaced by a new one, at each change."""
        self.began: float | None = None
        """When the model began, by the monotonic clock."""

    async def run(self, call: Coroutine[Any, Any, Reply]) -> asyncio.Task[Reply]:
        """Run a call to its end, whatever that is."""
        self.call = asyncio.create_task(call)
        if self.verdict is not None:
            self.call.cancel()
        await asyncio.wait([self.call])
        return self.call

    def stop(self, status: Status, message: str | None = None) -> None:
        """End it, unless it has been told to, or ends by itself."""
        if self.verdict is None:
            self.verdict = {"status": status, "message": message}
            if self.call is not None:
                self.call.cancel()

    def become(self, job: Job) -> None:
        self.job = job
        self.changed.set()
        self.changed = asyncio.Event()

    def finish(self, job: Job) -> None:
        """Show how it ended."""
        self.become(job)
        self.log.end()
        self.ended.set()

    def seconds(self) -> float:
        """Return how long the model has run."""
        return 0 if self.began is None else time.monotonic() - self.began


class Log:
    """A job's log on its way to the disk: what comes during a write is the next one."""

    def __init__(self, append: Callable[[bytes], Awaitable[None]]) -> None:
        self._append = append
        self._pending = bytearray()
        self._left = LONGEST_LOG
        self._writing: asyncio.Task[None] | None = None
        self.written = asyncio.Event()
        """Set, and replaced by a new one, when there is more of the log, or no more."""

    def say(self, text: str) -> None:
        if self._left <= 0:
            return
        line = text.encode(errors="backslashreplace") + b"\n"
        self._left -= len(line)
        self._pending += line
        if self._left <= 0:
            self._pending += b"(the log is too long; the rest is in the server's)\n"
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> None:
        if self._writing is not None:
            await self._writing

    def end(self) -> None:
        self.written.set()
        self.written = asyncio.Event()

    async def _write(self) -> None:
        while self._pending:
            piece, self._pending = bytes(self._pending), bytearray()
            try:
                await self._append(piece)
            except (OSError, DeepaasError) as error:
                logger.warning("A job's log cannot be written: %s", error)
            self.end()
        self._writing = None
