"""The jobs that this server runs, each from its first record to its last.

A job that has not ended is held here, and its record is stored at each step. It counts
as ended when its outcome is stored.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from deepaas.encoding import JSONText
from deepaas.errors import (
    DeepaasError,
    ModelRaised,
    StoreUnavailable,
    Unavailable,
)
from deepaas.executors import Reply
from deepaas.jobs.files import Part
from deepaas.jobs.outcomes import forget_outcome, save_outcome
from deepaas.jobs.records import (
    Job,
    Kind,
    Outcome,
    RequestKey,
    Status,
    describe_progress,
    new_job,
)
from deepaas.jobs.results import Results
from deepaas.jobs.running import LogWriter, RecordWriter, RunningJob
from deepaas.jobs.storage import Storage
from deepaas.jobs.threads import wait_for
from deepaas.predictions import PreparedCall
from deepaas.progress import Batch

logger = logging.getLogger(__name__)

OUTCOME_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0)
"""Seconds before an outcome that could not be stored is stored again."""

STOP_RETRY_DELAY = 0.5
"""The same while the server stops."""

SHARED_LOG_PAUSE = 0.2
"""Seconds between two writes of a log that other servers read."""

STOPPED = Outcome(Status.ERROR, "the server was stopped")


class Runner:
    """Runs jobs as their owner. `on_end` is called when one has ended."""

    def __init__(
        self,
        storage: Storage,
        results: Results,
        owner: str,
        on_end: Callable[[], None],
    ) -> None:
        self._storage = storage
        self._results = results
        self._owner = owner
        self._on_end = on_end
        self._running: dict[str, RunningJob] = {}
        self.stopping = asyncio.Event()
        """Set when the server stops."""
        self._deadline = 0.0
        """The end of the grace that jobs have, by the loop's clock, once it stops."""

    def find(self, uuid: str) -> RunningJob | None:
        """Returns a job that runs here, and is this server's."""
        running = self._running.get(uuid)
        return None if running is None or running.is_lost else running

    async def start(
        self,
        call: PreparedCall,
        files: contextlib.AsyncExitStack,
        key: RequestKey | None,
    ) -> Job:
        """Starts a job that makes a call.

        `files` is closed when the job has ended, or could not start. Raises
        Unavailable, NoSpace, StoreFailed or KeyTaken.
        """
        try:
            args = await asyncio.to_thread(call.show_arguments)
            if self.stopping.is_set():
                raise Unavailable("The server is stopping.")
            place = call.reserve()
        except BaseException:
            await files.aclose()
            raise
        files.callback(place.close)
        kind, model = Kind(call.method), call.model.name
        running = self._new_running_job(new_job(kind, model, args, self._owner))

        async def run() -> Reply:
            place.close()  # the call takes it in the same moment
            reply = await call.run(
                label=running.job.uuid, reports=True, on_event=running.on_event
            )
            return await self._results.collect(running.job, reply, running.given_up)

        self._running[running.job.uuid] = running
        running.task = asyncio.create_task(self._run(running, run, files, key))
        # The job starts even if its caller has left.
        await asyncio.shield(running.accepted)
        return running.job

    async def end(self, uuid: str) -> None:
        """Cancels a job that runs here, and waits for its end."""
        running = self._running[uuid]
        running.stop(Outcome(Status.CANCELLED))
        await running.ended.wait()

    def forget(self, uuid: str) -> None:
        """Stores the outcome of a job no longer: the job has been removed."""
        self._running.pop(uuid, None)

    def stop(self, grace: float) -> None:
        """Ends trainings and queued jobs now, and other jobs in `grace` seconds."""
        self._deadline = asyncio.get_running_loop().time() + grace
        self.stopping.set()
        for running in list(self._running.values()):
            job = running.job
            if job.kind is Kind.TRAIN or job.status is Status.QUEUED:
                running.stop(STOPPED)

    async def close(self) -> None:
        """Ends all jobs."""
        if not self.stopping.is_set():
            self.stop(0)
        tasks = [running.task for running in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=max(self._seconds_left(), 0))
        for running in list(self._running.values()):
            running.stop(STOPPED)
            running.given_up.set()
            running.log.close()
        self._storage.stop_repeating()
        if tasks:
            await asyncio.wait(tasks)

    # -- for the lease

    def running(self) -> set[str]:
        """Returns the uuids of the jobs that run here and have a record."""
        return {
            uuid
            for uuid, running in self._running.items()
            if running.accepted.done() and not running.is_ending and not running.is_lost
        }

    def runs(self, uuid: str) -> bool:
        """Tells whether a job runs here; a server that stops may leave its outcome to
        the next one."""
        return uuid in self._running or self.stopping.is_set()

    def cancel(self, uuid: str) -> None:
        """Cancels a job, if it runs here."""
        running = self._running.get(uuid)
        if running is not None:
            running.stop(Outcome(Status.CANCELLED))

    def lose(self, uuid: str) -> None:
        """Ends the call of a job that is not this server's any longer."""
        running = self._running.get(uuid)
        if running is not None:
            running.lose()

    def interrupt_all(self, message: str) -> None:
        """Ends all jobs as errors with this message."""
        for running in list(self._running.values()):
            running.stop(Outcome(Status.ERROR, message))

    # -- the life of a job

    def _new_running_job(self, job: Job) -> RunningJob:
        storage = self._storage

        async def append(text: bytes, start: int) -> None:
            add = partial(storage.files.append, job.uuid, Part.LOG)
            await storage.use_log(partial(add, text, start))

        async def update(job: Job) -> None:
            if not await storage.write(
                partial(storage.records.update, job), repeat=False
            ):
                self.lose(job.uuid)

        async def report(batch: Batch) -> None:
            call = partial(self._report, job, batch)
            if not await storage.write(call, repeat=False):
                self.lose(job.uuid)

        pause = SHARED_LOG_PAUSE if storage.records.is_shared else 0
        return RunningJob(job, LogWriter(append, pause), RecordWriter(update, report))

    def _report(self, job: Job, batch: Batch) -> bool:
        return self._storage.records.report(job, describe_progress(batch.latest), batch)

    async def _run(
        self,
        running: RunningJob,
        call: Callable[[], Coroutine[Any, Any, Reply]],
        files: contextlib.AsyncExitStack,
        key: RequestKey | None,
    ) -> None:
        try:
            async with files:
                if not await self._accept(running, key):
                    return
                outcome = await self._outcome(running, await running.run(call()))
        except Exception:
            logger.exception("The job %s failed", running.job.uuid)
            outcome = Outcome.of_error(DeepaasError("The server failed; see its log."))
        running.is_ending = True
        await running.log.flush()
        reports = await running.record.close()
        job = running.job.finished(outcome, running.seconds())
        await self._store_outcome(running, job, reports)

    async def _accept(self, running: RunningJob, key: RequestKey | None) -> bool:
        """Stores the first record; returns False if the job cannot start."""
        try:
            await self._storage.write(partial(self._insert, [], running.job, key))
        except Exception as error:  # the caller of `start` gets it
            del self._running[running.job.uuid]
            running.accepted.set_exception(error)
            return False
        running.accepted.set_result(None)
        return True

    def _insert(self, tried: list[bool], job: Job, key: RequestKey | None) -> None:
        """Inserts a record; it may be there already when this is repeated, since a
        lost connection takes the answer with it."""
        records = self._storage.records
        if tried and records.is_shared and records.get(job.uuid) is not None:
            return
        tried.append(True)
        records.insert(job, key)

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
            return await self._results.save(running.job, reply, running.given_up)
        except DeepaasError as error:
            if self.stopping.is_set() and isinstance(error, Unavailable):
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
        it is stored leaves it to the next one. A job that another server has ended
        keeps its end.
        """
        saved = stored = False
        last = itertools.repeat(OUTCOME_RETRY_DELAYS[-1])
        for delay in itertools.chain(OUTCOME_RETRY_DELAYS, last):
            if running.is_lost:
                break
            try:
                if not await self._write_outcome(running, job, reports):
                    running.lose()
                    break
                stored = True
                break
            except Exception as error:  # no error loses an outcome
                logger.warning("The outcome of %s is not stored: %s", job.uuid, error)
            saved = saved or await save_outcome(self._storage.outcomes, job)
            running.finish(job)
            if self.stopping.is_set() and (saved or self._seconds_left() <= 0):
                break
            await self._wait_to_retry(delay)
            if job.uuid not in self._running:
                break  # it has been removed meanwhile
        if running.is_lost:
            await self._clear(job)
        if saved and (stored or running.is_lost or job.uuid not in self._running):
            await forget_outcome(self._storage.outcomes, job)
        self._running.pop(job.uuid, None)
        running.finish(job)
        self._on_end()

    async def _write_outcome(
        self, running: RunningJob, job: Job, reports: Batch | None
    ) -> bool:
        """Stores the rest of the log, then the outcome; returns False for a job that is
        not this server's any longer. Raises StoreFailed or NoSpace."""
        if not await running.log.flush() and not self.stopping.is_set():
            raise StoreUnavailable("its log cannot be written yet")

        def write() -> bool:
            if reports is not None:
                self._report(job, reports)
            return self._storage.records.update(job)

        return await self._storage.write(write, repeat=False)

    async def _clear(self, job: Job) -> None:
        """Removes what a job has left that another server has ended, or removed."""
        storage = self._storage

        def clear() -> None:
            storage.files.remove([job.uuid], [Part.DRAFT, Part.RESULT])
            if storage.records.get(job.uuid) is None:
                storage.files.remove([job.uuid])

        try:
            await asyncio.to_thread(clear)
        except (DeepaasError, OSError) as error:  # they are removed later
            logger.warning("Files of %s are left: %s", job.uuid, error)

    async def _wait_to_retry(self, seconds: float) -> None:
        if self.stopping.is_set():
            await asyncio.sleep(min(STOP_RETRY_DELAY, self._seconds_left()))
        else:
            await wait_for(self.stopping, seconds)

    def _seconds_left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()
