"""Jobs: the service that starts, finds, follows, cancels and removes jobs.

A job that has not ended is held here, and its record is stored at each step. It counts
as ended when its outcome is stored. Nothing here waits for the disk on the event loop.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from deepaas.encoding import JSONText, iso_date
from deepaas.errors import (
    DeepaasError,
    ModelRaised,
    NotFound,
    StartError,
    Unavailable,
)
from deepaas.executors import Reply
from deepaas.jobs.files import Files, Part
from deepaas.jobs.outcomes import forget_outcome, restore_outcomes, save_outcome
from deepaas.jobs.records import (
    Job,
    Kind,
    Outcome,
    Records,
    Status,
    describe_progress,
    new_job,
)
from deepaas.jobs.results import Results
from deepaas.jobs.running import LogWriter, RecordWriter, RunningJob
from deepaas.jobs.threads import DatabaseThreads, wait_for
from deepaas.predictions import PreparedCall
from deepaas.progress import Batch, Report

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_READ_BYTES = 65536
"""Bytes of a log that are read at once."""

FOLLOW_INTERVAL = 15.0
"""Seconds without a change after which a follower gets the same record again."""

PRUNE_INTERVAL = 3600.0
"""Seconds between two removals of jobs that are too old."""

DATABASE_TIMEOUT = 10.0
"""Seconds for which callers wait for a database that is locked or not reachable."""

OUTCOME_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0)
"""Seconds before an outcome that could not be stored is stored again."""

STOP_RETRY_DELAY = 0.5
"""The same while the server stops."""

STOPPED = Outcome(Status.ERROR, "the server was stopped")


class Jobs:
    """The jobs of a server: those that run, and those in its records.

    `keep` and `keep_days` limit the ended jobs that are kept; 0 means no limit.
    """

    def __init__(
        self, records: Records, files: Files, *, keep: int = 0, keep_days: float = 0
    ) -> None:
        self._records = records
        self._files = files
        self._results = Results(files)
        self._keep = keep
        self._keep_days = keep_days
        self._running: dict[str, RunningJob] = {}
        # One thread writes: records are inserted in the order of their requests.
        self._writer = DatabaseThreads(1, "jobs-writer", DATABASE_TIMEOUT)
        self._reader = DatabaseThreads(2, "jobs-reader", DATABASE_TIMEOUT)
        self._log_threads = ThreadPoolExecutor(2, thread_name_prefix="jobs-log")
        self._pruner: asyncio.Task[None] | None = None
        self._prune_wanted = asyncio.Event()
        self._stopping = asyncio.Event()
        self._deadline = 0.0
        """The end of the grace that jobs have, by the loop's clock, once it stops."""

    # -- start and stop

    async def open(self) -> None:
        """Ends the jobs that a dead server has left open. Raises StartError."""
        try:
            await self._write(partial(restore_outcomes, self._files, self._records))
            interrupted = await self._write(self._records.interrupt)
            await asyncio.to_thread(self._files.remove_drafts)
        except (DeepaasError, OSError) as error:
            raise StartError(f"cannot use the jobs that are kept: {error}") from error
        if interrupted:
            logger.warning("%d jobs were interrupted by the last end.", interrupted)
        await self._prune()
        self._pruner = asyncio.create_task(self._prune_regularly())

    def stop(self, grace: float) -> None:
        """Ends trainings and queued jobs now, and other jobs in `grace` seconds."""
        self._deadline = asyncio.get_running_loop().time() + grace
        self._stopping.set()
        for running in list(self._running.values()):
            job = running.job
            if job.kind is Kind.TRAIN or job.status is Status.QUEUED:
                running.stop(STOPPED)

    async def close(self) -> None:
        """Ends all jobs, the threads, and the use of records and files."""
        if not self._stopping.is_set():
            self.stop(0)
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=max(self._seconds_left(), 0))
        for running in list(self._running.values()):
            running.stop(STOPPED)
        self._writer.stop_repeating()
        if tasks:
            await asyncio.wait(tasks)
        if self._pruner is not None:
            self._pruner.cancel()
        for threads in (self._writer, self._reader):
            await threads.close()
        await asyncio.to_thread(self._log_threads.shutdown)
        await asyncio.to_thread(self._records.close)
        await asyncio.to_thread(self._files.close)

    # -- for callers

    async def start(
        self,
        call: PreparedCall,
        files: contextlib.AsyncExitStack,
    ) -> Job:
        """Starts a job that makes a call.

        `files` is closed when the job has ended, or could not start. Raises
        Unavailable, NoSpace or StoreFailed.
        """
        try:
            args = await asyncio.to_thread(call.show_arguments)
            if self._stopping.is_set():
                raise Unavailable("The server is stopping.")
            place = call.reserve()
        except BaseException:
            await files.aclose()
            raise
        files.callback(place.close)
        kind, model = Kind(call.method), call.model.name
        running = self._new_running_job(new_job(kind, model, args))

        async def run() -> Reply:
            place.close()  # the call takes it in the same moment
            reply = await call.run(
                label=running.job.uuid, reports=True, on_event=running.on_event
            )
            return await self._results.collect(running.job, reply)

        self._running[running.job.uuid] = running
        running.task = asyncio.create_task(self._run(running, run, files))
        # The job starts even if its caller has left.
        await asyncio.shield(running.accepted)
        return running.job

    async def get(self, kind: Kind, model: str, uuid: str) -> Job:
        """Returns a job. Raises NotFound or StoreFailed."""
        running = self._running.get(uuid)
        if running is not None:
            job: Job | None = running.job
        else:
            job = await self._read(partial(self._records.get, uuid))
        if job is None or job.kind is not kind or job.model != model:
            noun = "training" if kind is Kind.TRAIN else "prediction"
            raise NotFound(f"{model} has no {noun} {uuid}.")
        return job

    async def find(
        self,
        kind: Kind,
        model: str,
        *,
        status: Status | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """Returns jobs, newest first. Raises StoreFailed."""
        find = partial(self._records.find, kind, model)
        found = await self._read(
            partial(find, status=status, limit=limit, offset=offset)
        )
        jobs = [
            self._running[j.uuid].job if j.uuid in self._running else j for j in found
        ]
        return [job for job in jobs if status in (None, job.status)]

    async def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Returns the number of jobs by model, kind and status. Raises StoreFailed."""
        return await self._read(self._records.count)

    async def end(self, kind: Kind, model: str, uuid: str) -> Job | None:
        """Cancels a job and returns it; removes one that has ended and returns None.

        A job that ends just now is returned as it ended. Raises NotFound or
        StoreFailed.
        """
        running = self._running.get(uuid)
        await self.get(kind, model, uuid)
        if running is not None and not running.job.status.ended:
            running.stop(Outcome(Status.CANCELLED))
            await running.ended.wait()
            return running.job
        removed = await self._remove([uuid])
        self._running.pop(uuid, None)  # its outcome need not be stored any longer
        if not removed:
            raise NotFound(f"{uuid} has just been removed.")
        return None

    async def follow(self, kind: Kind, model: str, uuid: str) -> AsyncIterator[Job]:
        """Yields the job now, after each change, and once in a while without one.

        Raises NotFound or StoreFailed before the first record, never later.
        """
        running = self._running.get(uuid)
        job = await self.get(kind, model, uuid)
        if running is None:
            yield job
            return
        while True:
            changed = running.changed
            yield running.job
            if running.job.status.ended:
                return
            await wait_for(changed, FOLLOW_INTERVAL)

    async def follow_log(self, uuid: str) -> AsyncIterator[bytes]:
        """Yields a job's log piece by piece, until the job has ended."""
        start = 0
        while True:
            running = self._running.get(uuid)
            ended = running is None or running.job.status.ended
            written = running.log.written if running is not None else None
            read = partial(self._files.read, uuid, Part.LOG, size=LOG_READ_BYTES)
            while piece := await self._use_log(partial(read, start=start)):
                yield piece
                start += len(piece)
            if ended or written is None:
                return
            await written.wait()

    async def history(self, uuid: str) -> list[Report]:
        """Returns the reports in a job's history, oldest first. Raises StoreFailed."""
        return await self._read(partial(self._records.history, uuid))

    async def log(self, uuid: str) -> Path | None:
        """Returns the file of a job's log, None for a job that has printed nothing."""
        log = await self._use_log(partial(self._files.open, uuid, Part.LOG))
        return None if log is None else log.path

    async def result(self, job: Job, *, in_parts: bool = False) -> Reply:
        """Returns the answer of a prediction that has ended.

        It is a file if it was one, if it is large, or with `in_parts`. Raises Gone if
        there is none, and the error that the prediction ended with.
        """
        return await self._results.load(job, in_parts=in_parts)

    # -- the life of a job

    def _new_running_job(self, job: Job) -> RunningJob:
        async def append(text: bytes) -> None:
            await self._use_log(partial(self._files.append, job.uuid, Part.LOG, text))

        async def update(job: Job) -> None:
            await self._write(partial(self._records.update, job), repeat=False)

        async def report(batch: Batch) -> None:
            await self._write(partial(self._report, job.uuid, batch), repeat=False)

        return RunningJob(job, LogWriter(append), RecordWriter(update, report))

    def _report(self, uuid: str, batch: Batch) -> None:
        self._records.report(uuid, describe_progress(batch.latest), batch)

    async def _run(
        self,
        running: RunningJob,
        call: Callable[[], Coroutine[Any, Any, Reply]],
        files: contextlib.AsyncExitStack,
    ) -> None:
        try:
            async with files:
                if not await self._accept(running):
                    return
                outcome = await self._outcome(running, await running.run(call()))
        except Exception:
            logger.exception("The job %s failed", running.job.uuid)
            outcome = Outcome.of_error(DeepaasError("The server failed; see its log."))
        await running.log.flush()
        reports = await running.record.close()
        job = running.job.finished(outcome, running.seconds())
        await self._store_outcome(running, job, reports)

    async def _accept(self, running: RunningJob) -> bool:
        """Stores the first record; returns False if the job cannot start."""
        try:
            await self._write(partial(self._records.insert, running.job))
        except Exception as error:  # the caller of `start` gets it
            del self._running[running.job.uuid]
            running.accepted.set_exception(error)
            return False
        running.accepted.set_result(None)
        return True

    async def _outcome(self, running: RunningJob, call: asyncio.Task[Reply]) -> Outcome:
        """Returns how a job ended, from the end of its call."""
        if call.cancelled():
            assert running.requested_outcome is not None
            return running.requested_outcome
        try:
            reply = call.result()
            if running.job.kind is Kind.TRAIN:
                output = JSONText(bytes(reply.body or b"null").decode())
                return Outcome(Status.DONE, output=output)
            return await self._results.save(running.job, reply)
        except DeepaasError as error:
            if self._stopping.is_set() and isinstance(error, Unavailable):
                return STOPPED
            if isinstance(error, ModelRaised):
                level = logging.ERROR if error.status >= 500 else logging.INFO
                uuid = running.job.uuid
                logger.log(level, "%s: %s\n%s", uuid, error, error.traceback)
                running.log.add_line(error.traceback.rstrip())
            return Outcome.of_error(error)

    async def _store_outcome(
        self, running: RunningJob, job: Job, reports: Batch | None
    ) -> None:
        """Stores how a job ended, however long that takes; shows it at once.

        An outcome that is not stored yet is saved in a file: a server that ends before
        it is stored leaves it to the next one.
        """
        write = partial(self._write_outcome, job, reports)
        saved = stored = False
        last = itertools.repeat(OUTCOME_RETRY_DELAYS[-1])
        for delay in itertools.chain(OUTCOME_RETRY_DELAYS, last):
            try:
                await self._write(write, repeat=False)
                stored = True
                break
            except Exception as error:  # no error loses an outcome
                logger.warning("The outcome of %s is not stored: %s", job.uuid, error)
            saved = saved or await save_outcome(self._files, job)
            running.finish(job)
            if self._stopping.is_set() and (saved or self._seconds_left() <= 0):
                break
            await self._wait_to_retry(delay)
            if job.uuid not in self._running:
                break  # it has been removed meanwhile
        if saved and (stored or job.uuid not in self._running):
            await forget_outcome(self._files, job)
        self._running.pop(job.uuid, None)
        running.finish(job)
        self._prune_wanted.set()

    def _write_outcome(self, job: Job, reports: Batch | None) -> None:
        if reports is not None:
            self._report(job.uuid, reports)
        self._records.update(job)

    async def _wait_to_retry(self, seconds: float) -> None:
        if self._stopping.is_set():
            await asyncio.sleep(min(STOP_RETRY_DELAY, self._seconds_left()))
        else:
            await wait_for(self._stopping, seconds)

    def _seconds_left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    # -- the removal of jobs

    async def _remove(self, uuids: Sequence[str]) -> int:
        """Removes jobs that have ended; returns how many there were."""
        # Files first: a job that has a record can be removed again.
        await asyncio.to_thread(self._files.remove, uuids)
        return await self._write(partial(self._records.remove, uuids))

    async def _prune_regularly(self) -> None:
        while True:
            await wait_for(self._prune_wanted, PRUNE_INTERVAL)
            self._prune_wanted.clear()
            await self._prune()

    async def _prune(self) -> None:
        """Removes the jobs that are too many or too old."""
        since = ""
        if self._keep_days:
            since = iso_date(time.time() - self._keep_days * 24 * 3600)
        try:
            expired = partial(self._records.expired, self._keep, since)
            await self._remove(await self._write(expired))
        except (DeepaasError, OSError) as error:
            logger.warning("Old jobs are not removed: %s", error)

    # -- off the event loop

    async def _write(self, call: Callable[[], T], *, repeat: bool = True) -> T:
        return await self._writer.run(call, repeat=repeat)

    async def _read(self, call: Callable[[], T]) -> T:
        return await self._reader.run(call)

    async def _use_log(self, call: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._log_threads, call)
