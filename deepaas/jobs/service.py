"""Jobs: the service that starts, finds, follows, cancels and removes jobs.

A job runs at one server; other servers that share its records find, follow, cancel and
remove it too.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import TypeVar

from deepaas.errors import (
    DeepaasError,
    InvalidRequestKey,
    NotFound,
    StartError,
    StoreFailed,
    StoreUnavailable,
    Unavailable,
)
from deepaas.executors import Reply
from deepaas.jobs.files import Files, Part, StoredFile
from deepaas.jobs.lease import Lease
from deepaas.jobs.notices import JOB, LOG, POLL_INTERVAL, Notices
from deepaas.jobs.outcomes import restore_outcomes
from deepaas.jobs.pruning import Pruner
from deepaas.jobs.records import Job, KeyTaken, Kind, Records, RequestKey, Status
from deepaas.jobs.results import Results
from deepaas.jobs.runner import Runner
from deepaas.jobs.running import RunningJob
from deepaas.jobs.storage import Storage
from deepaas.jobs.threads import wait_for
from deepaas.predictions import PreparedCall
from deepaas.progress import Report

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOG_READ_BYTES = 65536
"""Bytes of a log that are read at once."""

FOLLOW_INTERVAL = 15.0
"""Seconds without a change after which a follower gets the same record again."""

SERVER_LEASE = 30.0
"""Seconds, by default, after which a server that is not heard of has ended."""

CANCEL_TIMEOUT = 15.0
"""Seconds, after a lease, for which a cancellation waits for another server."""


class Jobs:
    """The jobs of a server: those that it runs, and those in its records.

    `outcomes` are files of this server alone; without them they are in `files`. `keep`
    and `keep_days` limit the ended jobs that are kept; 0 means no limit. `lease` is the
    time in seconds after which other servers end the jobs of one that has died; they
    send notices through `source`.
    """

    def __init__(
        self,
        records: Records,
        files: Files,
        *,
        outcomes: Files | None = None,
        keep: int = 0,
        keep_days: float = 0,
        lease: float = SERVER_LEASE,
        source: Callable[[], AsyncIterator[str]] | None = None,
    ) -> None:
        owner = uuid.uuid4().hex
        self._storage = Storage(records, files, outcomes or files)
        self._results = Results(files)
        self._pruner = Pruner(self._storage, keep, keep_days)
        self._runner = Runner(
            self._storage, self._results, owner, self._pruner.prune_soon
        )
        self._notices = Notices(owner, source, silence=max(lease / 3, POLL_INTERVAL))
        self._lease = Lease(self._storage, owner, lease, self._notices, self._runner)
        self._cancel_timeout = lease + CANCEL_TIMEOUT

    # -- start and stop

    async def open(self) -> None:
        """Ends the jobs that dead servers have left open. Raises StartError."""
        storage = self._storage
        restore = partial(restore_outcomes, storage.outcomes, storage.records)
        try:
            await storage.write(restore)
            interrupted = await self._lease.open()
            await asyncio.to_thread(storage.remove_left_files)
        except (DeepaasError, OSError) as error:
            raise StartError(f"cannot use the jobs that are kept: {error}") from error
        if interrupted:
            logger.warning("%d jobs were interrupted by the last end.", interrupted)
        await self._pruner.open()

    def stop(self, grace: float) -> None:
        """Ends trainings and queued jobs now, and other jobs in `grace` seconds."""
        self._runner.stop(grace)
        self._notices.wake_all()

    async def close(self) -> None:
        """Ends all jobs, the threads, and the use of records and files."""
        await self._runner.close()
        self._pruner.close()
        await self._lease.close()
        await self._storage.close()

    # -- for callers

    async def start(
        self,
        call: PreparedCall,
        files: contextlib.AsyncExitStack,
        key: RequestKey | None = None,
    ) -> Job:
        """Starts a job that makes a call; with a key that a job has, returns that job.

        `files` is closed when the job has ended, or could not start. Raises
        Unavailable, NoSpace, StoreFailed, or InvalidRequestKey.
        """
        try:
            return await self._runner.start(call, files, key)
        except KeyTaken as taken:
            assert key is not None
            kind, model = Kind(call.method), call.model.name
            job = await self.find_started(kind, model, key)
            if job is None:  # it was removed just now
                raise Unavailable("The job with this key was removed.") from taken
            return job

    async def find_started(self, kind: Kind, model: str, key: RequestKey) -> Job | None:
        """Returns the job that a request with this key has started.

        Raises InvalidRequestKey if that had other arguments, or StoreFailed.
        """
        records = self._storage.records
        found = await self._read(partial(records.find_key, kind, model, key.text))
        if found is None:
            return None
        started, fingerprint = found
        if fingerprint != key.fingerprint:
            raise InvalidRequestKey(
                f"A job with other arguments has this Idempotency-Key: {started}."
            )
        with contextlib.suppress(NotFound):
            return await self.get(kind, model, started)
        return None

    async def get(self, kind: Kind, model: str, uuid: str) -> Job:
        """Returns a job. Raises NotFound or StoreFailed."""
        job = await self._get(uuid)
        if job is None or job.kind is not kind or job.model != model:
            noun = "training" if kind is Kind.TRAIN else "prediction"
            raise NotFound(f"{model} has no {noun} {uuid}.")
        return job

    async def _get(self, uuid: str) -> Job | None:
        running = self._runner.find(uuid)
        if running is not None:
            return running.job
        return await self._read(partial(self._storage.records.get, uuid))

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
        find = partial(self._storage.records.find, kind, model)
        found = await self._read(
            partial(find, status=status, limit=limit, offset=offset)
        )
        jobs = [
            job if (running := self._runner.find(job.uuid)) is None else running.job
            for job in found
        ]
        return [job for job in jobs if status in (None, job.status)]

    async def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Returns the number of jobs by model, kind and status. Raises StoreFailed."""
        return await self._read(self._storage.records.count)

    async def end(self, kind: Kind, model: str, uuid: str) -> Job | None:
        """Cancels a job and returns it; removes one that has ended and returns None.

        A job that ends just now is returned as it ended. Raises NotFound, StoreFailed
        or Unavailable.
        """
        running = self._runner.find(uuid)
        job = await self.get(kind, model, uuid)
        if running is not None and not running.job.status.ended:
            await self._runner.end(uuid)
            if not running.is_lost:
                return running.job
            job = await self.get(kind, model, uuid)
        if not job.status.ended and self._storage.records.is_shared:
            return await self._cancel_elsewhere(job)
        removed = await self._remove(uuid)
        self._runner.forget(uuid)  # its outcome need not be stored any longer
        if not removed:
            raise NotFound(f"{uuid} has just been removed.")
        return None

    async def _cancel_elsewhere(self, job: Job) -> Job:
        """Cancels a job that runs at another server, and returns it when it has ended.

        If that server has died, the job ends with its lease.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._cancel_timeout
        changes = self.follow(job.kind, job.model, job.uuid)
        async with contextlib.aclosing(changes):
            request = partial(self._storage.records.request_cancel, job.uuid)
            await self._storage.write(request)
            async for now in changes:
                if now.status.ended:
                    return now
                if loop.time() > deadline:
                    break
        raise Unavailable(f"The server that runs {job.uuid} has not cancelled it yet.")

    async def follow(
        self, kind: Kind, model: str, uuid: str
    ) -> AsyncGenerator[Job, None]:
        """Yields the job now, after each change, and once in a while without one.

        Raises NotFound or StoreFailed before the first record, never later. Ends when
        the job has ended or is removed, or when the server stops and does not run it.
        """
        job: Job | None = await self.get(kind, model, uuid)
        loop = asyncio.get_running_loop()
        running, before, yielded = None, None, 0.0
        while True:
            running = self._find_running(uuid, running)
            if running is not None:
                changed, interval = running.changed, FOLLOW_INTERVAL
                job = running.job
            else:
                changed = self._notices.event(JOB, uuid)
                interval = FOLLOW_INTERVAL if self._notices.come else POLL_INTERVAL
                with contextlib.suppress(StoreFailed):  # it is shown as it was
                    job = await self._get(uuid)
            if job is None:
                return
            if job != before or loop.time() - yielded >= FOLLOW_INTERVAL:
                before, yielded = job, loop.time()
                yield job
            if job.status.ended or self._is_left(running):
                return
            await wait_for(changed, interval)

    def _find_running(self, uuid: str, running: RunningJob | None) -> RunningJob | None:
        """Returns a job that runs here, or did when it was looked for before."""
        if running is not None and not running.is_lost:
            return running
        return self._runner.find(uuid)

    def _is_left(self, running: RunningJob | None) -> bool:
        """Tells whether a server that stops follows another server's job."""
        return running is None and self._runner.stopping.is_set()

    async def follow_log(self, uuid: str) -> AsyncIterator[bytes]:
        """Yields a job's log piece by piece, until the job has ended."""
        start, running = 0, None
        while True:
            running = self._find_running(uuid, running)
            if running is not None:
                written, interval = running.log.written, FOLLOW_INTERVAL
            else:
                written = self._notices.event(LOG, uuid)
                interval = POLL_INTERVAL  # a log in a folder sends no notices
            try:
                job = running.job if running is not None else await self._get(uuid)
                while piece := await self._read_log(uuid, start):
                    yield piece
                    start += len(piece)
                if job is None or job.status.ended:
                    return
            except StoreUnavailable:  # the rest comes when it is reachable again
                pass
            if self._is_left(running):
                return
            await wait_for(written, interval)

    async def _read_log(self, uuid: str, start: int) -> bytes:
        read = partial(self._storage.files.read, uuid, Part.LOG, size=LOG_READ_BYTES)
        return await self._storage.use_log(partial(read, start=start))

    async def history(self, uuid: str) -> list[Report]:
        """Returns the reports in a job's history, oldest first. Raises StoreFailed."""
        return await self._read(partial(self._storage.records.history, uuid))

    async def log(self, uuid: str) -> StoredFile | None:
        """Returns the file of a job's log, None for a job that has printed nothing."""
        files = self._storage.files
        return await self._storage.use_log(partial(files.open, uuid, Part.LOG))

    async def result(self, job: Job, *, in_parts: bool = False) -> Reply:
        """Returns the answer of a prediction that has ended.

        It is a file if it was one, if it is large, or with `in_parts`. Raises Gone if
        there is none, and the error that the prediction ended with.
        """
        return await self._results.load(job, in_parts=in_parts)

    # -- the storage

    async def _remove(self, uuid: str) -> int:
        """Removes a job that has ended; returns 0 if it was removed before."""
        storage = self._storage
        # Files first: a job that has a record can be removed again.
        await asyncio.to_thread(storage.remove_files, [uuid])
        return await storage.write(partial(storage.records.remove, [uuid]))

    async def _read(self, call: Callable[[], T]) -> T:
        return await self._storage.read(call)
