"""A running job: its state, its call, its log and its record on their way to the disk.

It lives on the event loop. Others store what it hands on.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from deepaas.errors import DeepaasError, StoreUnavailable
from deepaas.executors import Began, Event, Line, Reply
from deepaas.jobs.records import Job, Outcome, Status, describe_progress
from deepaas.jobs.threads import wait_for
from deepaas.progress import Batch

logger = logging.getLogger(__name__)

MAX_LOG_BYTES = 100 * 1024 * 1024
"""Bytes of a job's log; the rest is only in the server's log."""

RECORD_RETRY_INTERVAL = 1.0
"""Seconds after which a change that could not be stored is stored again."""

LOST = "interrupted: the job is not this server's any longer"


class RunningJob:
    """A job that has not ended, or whose outcome is not stored yet."""

    def __init__(self, job: Job, log: "LogWriter", record: "RecordWriter") -> None:
        self.job = job
        self.log = log
        self.record = record
        self.task: asyncio.Task[None]
        """Takes the job from its first record to its last."""
        self.call: asyncio.Task[Reply] | None = None
        self.requested_outcome: Outcome | None = None
        """The outcome of a job that was cancelled or stopped."""
        self.is_lost = False
        """Another server has ended the job, or it was removed."""
        self.is_ending = False
        """Its outcome is being stored."""
        self.given_up = asyncio.Event()
        """Set when its result need not be stored any longer."""
        loop = asyncio.get_running_loop()
        self.accepted: asyncio.Future[None] = loop.create_future()
        """Done when the first record is stored; else it raises the reason."""
        self.accepted.add_done_callback(lambda accepted: accepted.exception())
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        """Set, and replaced by a new event, at each change."""
        self._began: float | None = None
        """When the model began, by the monotonic clock."""

    async def run(self, call: Coroutine[Any, Any, Reply]) -> asyncio.Task[Reply]:
        """Runs a call, and returns its task when the task is done or cancelled."""
        self.call = asyncio.create_task(call)
        if self.requested_outcome is not None:
            self.call.cancel()
        await asyncio.wait([self.call])
        return self.call

    def stop(self, outcome: Outcome) -> None:
        """Ends the job with this outcome; the first of several counts."""
        if self.requested_outcome is None:
            self.requested_outcome = outcome
            if self.call is not None:
                self.call.cancel()

    def lose(self) -> None:
        """Ends the call of a job that is not this server's any longer."""
        if not self.is_lost:
            self.is_lost = True
            self.given_up.set()
            self.stop(Outcome(Status.ERROR, LOST))
            self.log.close()
            self._change(self.job)
            self.ended.set()

    def on_event(self, event: Event) -> None:
        """Notes an event of the call."""
        if isinstance(event, Line):
            self.log.add_line(event.text)
        elif isinstance(event, Began):
            self._began = time.monotonic()
            self._change(replace(self.job, status=Status.RUNNING))
            self.record.change(self.job)
        elif isinstance(event, Batch):
            progress = describe_progress(event.latest)
            self._change(replace(self.job, progress=progress))
            self.record.add_reports(event)

    def finish(self, job: Job) -> None:
        """Shows the job as it ended."""
        self._change(job)
        self.log.notify()
        self.ended.set()

    def seconds(self) -> float:
        """Returns how many seconds the model has run."""
        return 0 if self._began is None else time.monotonic() - self._began

    def _change(self, job: Job) -> None:
        self.job = job
        self.changed.set()
        self.changed = asyncio.Event()


class LogWriter:
    """Writes a job's log: lines that come during a write go into the next one.

    `append` takes data and the size of the log before it. A write follows the one
    before it after `pause` seconds. What a database does not take now is written later.
    """

    def __init__(
        self, append: Callable[[bytes, int], Awaitable[None]], pause: float = 0
    ) -> None:
        self._append = append
        self._pause = pause
        self._pending = bytearray()
        self._size = 0
        self._left = MAX_LOG_BYTES
        self._writing: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()
        """Set while lines cannot be written."""
        self._hurry = asyncio.Event()
        """Set when no more lines come."""
        self._closing = asyncio.Event()
        self.written = asyncio.Event()
        """Set, and replaced by a new event, when the log has grown or is complete."""

    def add_line(self, text: str) -> None:
        """Adds a line, unless the log is too long."""
        if self._left <= 0 or self._closing.is_set():
            return
        line = text.encode(errors="backslashreplace") + b"\n"
        self._left -= len(line)
        self._pending += line
        if self._left <= 0:
            self._pending += b"(the log is too long; the rest is in the server's)\n"
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def flush(self) -> bool:
        """Waits until all lines are written; returns False if that must wait longer."""
        self._hurry.set()
        if self._writing is not None:
            failed = asyncio.create_task(self._failed.wait())
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait([self._writing, failed], return_when=first)
            failed.cancel()
        return self._writing is None

    def notify(self) -> None:
        """Wakes those who wait for more of the log."""
        self.written.set()
        self.written = asyncio.Event()

    def close(self) -> None:
        """Gives up the lines that cannot be written, and those that come later."""
        self._closing.set()
        self._hurry.set()
        self.notify()

    async def _write(self) -> None:
        while self._pending:
            piece = bytes(self._pending)
            try:
                await self._append(piece, self._size)
                self._size += len(piece)
            except StoreUnavailable:
                self._failed.set()
                if self._closing.is_set():
                    break
                await wait_for(self._closing, RECORD_RETRY_INTERVAL)
                continue
            except (OSError, DeepaasError) as error:
                logger.warning("A job's log cannot be written: %s", error)
            self._failed.clear()
            del self._pending[: len(piece)]
            self.notify()
            if self._pause:
                await wait_for(self._hurry, self._pause)
        self._writing = None


class RecordWriter:
    """Stores how a job goes on: changes during a write go into the next one.

    A change that cannot be stored is stored again a little later, until `close`: then
    the outcome replaces the record, and takes with it the reports that are left.
    """

    def __init__(
        self,
        update: Callable[[Job], Awaitable[None]],
        report: Callable[[Batch], Awaitable[None]],
    ) -> None:
        self._update = update
        self._report = report
        self._job: Job | None = None
        self._batch: Batch | None = None
        self._writing: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    def change(self, job: Job) -> None:
        """Stores a record soon."""
        self._job = job
        self._write_soon()

    def add_reports(self, batch: Batch) -> None:
        """Stores reports of progress soon."""
        self._batch = merged(self._batch, batch)
        self._write_soon()

    async def close(self) -> Batch | None:
        """Ends the writing, and returns the reports that are not stored."""
        self._closing.set()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        return self._batch

    def _write_soon(self) -> None:
        if self._writing is None and not self._closing.is_set():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        failed = False
        while (self._job or self._batch) and not self._closing.is_set():
            job, self._job = self._job, None
            batch, self._batch = self._batch, None
            try:
                if job is not None:
                    await self._update(job)
                    job = None
                if batch is not None:
                    await self._report(batch)
            except DeepaasError as error:
                if not failed:
                    logger.warning("The state of a job is not stored yet: %s", error)
                failed = True
                self._job = self._job or job
                self._batch = (
                    batch if self._batch is None else merged(batch, self._batch)
                )
                await wait_for(self._closing, RECORD_RETRY_INTERVAL)
        self._writing = None


def merged(earlier: Batch | None, later: Batch) -> Batch:
    """Returns two batches of reports as one."""
    if earlier is None:
        return later
    history = [
        report
        for report in (*earlier.history, *later.history)
        if report.number % later.stride == 0
    ]
    return Batch(later.latest, history, later.stride)
