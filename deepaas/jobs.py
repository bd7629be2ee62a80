"""Jobs: trainings and predictions that go on without the request that began them.

A job that has not ended is alive: its state is held here, and stored at each step. It
counts as ended when that is stored. Nothing here waits for the disk on the event loop.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from deepaas.encoding import JSONText, iso_date
from deepaas.errors import DeepaasError, Gone, ModelRaised, NotFound, Unavailable
from deepaas.executors import Began, Event, Executor, Line, Reply
from deepaas.live import Live
from deepaas.progress import Batch, Report
from deepaas.store import Job, Kind, Status, Store, append

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

CHUNK = 65536
"""Bytes of a log that are read at once."""

LARGE = 32 * 1024 * 1024
"""Bytes of a result up to which it is read at once, if it did not come as a file."""

HEARTBEAT = 15.0
"""Seconds without news after which a follower is told so."""

PRUNE_INTERVAL = 3600.0
"""Seconds between two looks for jobs that are too old."""

RETRY = (1.0, 5.0, 30.0)
"""Seconds to wait before an outcome that could not be stored is stored again."""

STOPPED = "the server was stopped"


class Jobs:
    """The jobs of a server: those that are alive, and those that its store keeps."""

    def __init__(self, store: Store, *, keep: int = 0, keep_days: float = 0) -> None:
        self._store = store
        self._keep = keep
        self._keep_days = keep_days
        self._live: dict[str, Live] = {}
        # One thread: what is written is written in the order of its happening.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="jobs-writer")
        self._reader = ThreadPoolExecutor(2, thread_name_prefix="jobs-reader")
        self._pruning: asyncio.Task[None] | None = None
        self._prunes = False
        """A look for jobs that are too many waits for its turn."""
        self._deadline: float | None = None
        """When the grace ends that jobs have, by the loop's clock, once it stops."""

    # -- start and stop

    async def open(self) -> None:
        """Close what a server that died has left open."""
        if interrupted := await self._write(self._store.interrupt):
            logger.warning("%d jobs were interrupted by the last end.", interrupted)
        await self._write(self._store.sweep)
        await _in(self._writer, self._prune)
        if self._keep_days:
            self._pruning = asyncio.create_task(self._prune_regularly())

    def stop(self, grace: float) -> None:
        """Begin no job, end trainings and what waits; the rest has `grace` seconds."""
        self._deadline = asyncio.get_running_loop().time() + grace
        for live in list(self._live.values()):
            if live.job.kind is Kind.TRAIN or live.job.status is Status.QUEUED:
                live.stop(Status.ERROR, STOPPED)

    async def close(self) -> None:
        """End all jobs, and the store."""
        if self._deadline is None:
            self.stop(0)
        assert self._deadline is not None
        rest = self._deadline - asyncio.get_running_loop().time()
        running = [live.task for live in self._live.values()]
        if running:
            await asyncio.wait(running, timeout=max(rest, 0))
        for live in list(self._live.values()):
            live.stop(Status.ERROR, STOPPED)
        if running:
            await asyncio.wait(running)
        if self._pruning is not None:
            self._pruning.cancel()
        for threads in (self._writer, self._reader):
            await asyncio.to_thread(threads.shutdown)
        await asyncio.to_thread(self._store.close)

    # -- what callers do

    async def start(
        self,
        kind: Kind,
        model: str,
        executor: Executor,
        kwargs: Mapping[str, Any],
        *,
        args: Mapping[str, Any],
        files: contextlib.AsyncExitStack,
        media_type: str | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Begin a job: a call of the method that `kind` names.

        `args` are the arguments as they are shown; `files` is left when the job has
        ended, or could not begin. Raises Unavailable, NoSpace or StoreFailed.
        """
        job = Job(
            uuid=uuid.uuid4().hex,
            kind=kind,
            model=model,
            date=_now(),
            args=dict(args),
        )
        write_log = partial(self._store.append_log, job.uuid)
        live = Live(job, lambda text: self._write(write_log, text))

        try:
            if self._deadline is not None:
                raise Unavailable("The server is stopping.")
            place = executor.admit(kind.value)
        except Unavailable:
            await files.aclose()
            raise
        files.callback(place.close)

        async def call() -> Reply:
            place.close()  # the call takes it in the same moment
            reply = await executor.call(
                kind.value,
                kwargs,
                media_type=media_type,
                timeout=timeout,
                label=job.uuid,
                reports=True,
                on_event=lambda event: self._hear(live, event),
            )
            return await self._collect(job, reply)

        self._live[job.uuid] = live
        live.task = asyncio.create_task(self._run(live, call, files))
        # The job begins even if the one who asked for it has left.
        await asyncio.shield(live.accepted)
        return live.job

    async def get(self, kind: Kind, model: str, uuid: str) -> Job:
        """Return a job. Raises NotFound."""
        live = self._live.get(uuid)
        job = live.job if live else await self._read(self._store.get, uuid)
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
        """Return jobs, newest first."""
        stored = await self._read(
            self._store.find, kind, model, status=status, limit=limit, offset=offset
        )
        jobs = [self._live[j.uuid].job if j.uuid in self._live else j for j in stored]
        return [job for job in jobs if status in (None, job.status)]

    async def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Return the number of stored jobs by model, kind and status."""
        return await self._read(self._store.count)

    async def end(self, kind: Kind, model: str, uuid: str) -> Job | None:
        """Cancel a job and return it; remove one that has ended. Raises NotFound.

        A job that ends just now is returned as it ended.
        """
        live = self._live.get(uuid)
        await self.get(kind, model, uuid)
        if live is not None and not live.job.status.ended:
            live.stop(Status.CANCELLED)
            await live.ended.wait()
            return live.job
        removed = await self._write(self._store.remove, [uuid])
        self._live.pop(uuid, None)  # its end was not stored, and need not be now
        if not removed:
            raise NotFound(f"{uuid} has just been removed.")
        return None

    async def follow(self, kind: Kind, model: str, uuid: str) -> AsyncIterator[Job]:
        """Return the job now, after each change, and once in a while without one.

        Raises NotFound before the first, never later.
        """
        live = self._live.get(uuid)
        job = await self.get(kind, model, uuid)
        if live is None:
            yield job
            return
        while True:
            changed = live.changed
            yield live.job
            if live.job.status.ended:
                return
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(changed.wait(), HEARTBEAT)

    async def follow_log(self, uuid: str) -> AsyncIterator[bytes]:
        """Return a job's log piece by piece, until the job has ended."""
        start = 0
        while True:
            live = self._live.get(uuid)
            ended = live is None or live.job.status.ended
            written = live.log.written if live is not None else None
            while piece := await self._read(self._store.read_log, uuid, start, CHUNK):
                yield piece
                start += len(piece)
            if ended or written is None:
                return
            await written.wait()

    async def history(self, uuid: str) -> list[Report]:
        """Return what is kept of a job's reports of progress, oldest first."""
        return await self._read(self._store.history, uuid)

    async def log(self, uuid: str) -> Path | None:
        """Return the file of a job's log; a job that says nothing has none."""
        path = self._store.log(uuid)
        return path if await self._read(path.exists) else None

    async def result(self, job: Job, *, in_parts: bool = False) -> Reply:
        """Return what a prediction that is done has answered. Raises Gone.

        It is a file if it was one, if it is large, or if only parts of it are wanted.
        """
        path = self._store.result(job.uuid)
        return await self._read(_kept_reply, job, path, 0 if in_parts else LARGE)

    # -- the life of a job

    async def _run(
        self,
        live: Live,
        call: Callable[[], Coroutine[Any, Any, Reply]],
        files: contextlib.AsyncExitStack,
    ) -> None:
        try:
            async with files:
                if not await self._accept(live):
                    return
                verdict = await self._judge(live, await live.run(call()))
        except Exception:
            logger.exception("The job %s failed", live.job.uuid)
            verdict = _failure(DeepaasError("The server failed; see its log."))
        await live.log.flush()
        job = replace(
            live.job, finish_date=_now(), duration=round(live.seconds(), 3), **verdict
        )
        await self._keep_outcome(live, job)

    async def _accept(self, live: Live) -> bool:
        try:
            await self._write(self._store.insert, live.job)
        except Exception as error:  # for the one who asked
            del self._live[live.job.uuid]
            live.accepted.set_exception(error)
            return False
        live.accepted.set_result(None)
        return True

    def _hear(self, live: Live, event: Event) -> None:
        if isinstance(event, Line):
            live.log.say(event.text)
        elif isinstance(event, Began):
            live.began = time.monotonic()
            live.become(replace(live.job, status=Status.RUNNING))
            self._write_soon(self._store.update, live.job)
        elif isinstance(event, Batch):
            progress = shown_progress(event.latest)
            live.become(replace(live.job, progress=progress))
            self._write_soon(self._store.report, live.job.uuid, progress, event)

    async def _judge(self, live: Live, call: asyncio.Task[Reply]) -> dict[str, Any]:
        """Return how a job's record changes by the end of its call."""
        if call.cancelled():
            assert live.verdict is not None
            return live.verdict
        try:
            reply = call.result()
            if live.job.kind is Kind.TRAIN:
                output = JSONText(bytes(reply.body or b"null").decode())
                return {"status": Status.DONE, "output": output}
            return await self._keep_result(live.job, reply)
        except DeepaasError as error:
            if self._deadline is not None and isinstance(error, Unavailable):
                return {"status": Status.ERROR, "message": STOPPED}
            if isinstance(error, ModelRaised):
                level = logging.ERROR if error.status >= 500 else logging.INFO
                logger.log(level, "%s: %s\n%s", live.job.uuid, error, error.traceback)
                live.log.say(error.traceback.rstrip())
            return _failure(error)

    async def _collect(self, job: Job, reply: Reply) -> Reply:
        """Write what is yielded to a file, so that it is a reply like any other."""
        if reply.stream is None:
            return reply
        path = self._store.draft(job.uuid)
        try:
            async with contextlib.aclosing(reply.stream) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(append, path, piece)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return reply._replace(stream=None, path=str(path), delete=True)

    async def _keep_result(self, job: Job, reply: Reply) -> dict[str, Any]:
        source = reply.body if reply.path is None else Path(reply.path)
        try:
            await asyncio.to_thread(
                self._store.keep_result, job.uuid, source or b"", move=reply.delete
            )
        except BaseException:
            if reply.delete and reply.path is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(reply.path)
            raise
        sent_as = {
            "status": 200,
            "media_type": reply.media_type,
            "filename": reply.filename,
            "whole": reply.path is None,
        }
        return {"status": Status.DONE, "reply": sent_as}

    async def _keep_outcome(self, live: Live, job: Job) -> None:
        """Store how a job ended, however long that takes; tell who waits for it."""
        for delay in itertools.chain(RETRY, itertools.repeat(RETRY[-1])):
            try:
                await self._write(self._store.update, job)
                break
            except DeepaasError as error:
                logger.warning("The end of %s is not stored: %s", job.uuid, error)
            live.finish(job)
            if self._deadline is not None or job.uuid not in self._live:
                break  # it has been removed meanwhile
            await asyncio.sleep(delay)
        self._live.pop(job.uuid, None)
        live.finish(job)
        self._prune_soon()

    # -- what is no longer kept

    def _prune_soon(self) -> None:
        if not self._prunes:
            self._prunes = True
            self._write_soon(self._prune)

    def _prune(self) -> None:
        self._prunes = False
        since = ""
        if self._keep_days:
            since = iso_date(time.time() - self._keep_days * 24 * 3600)
        self._store.remove(self._store.expired(self._keep, since))

    async def _prune_regularly(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_INTERVAL)
            self._prune_soon()

    # -- off the event loop

    async def _write(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await _in(self._writer, function, *args, **kwargs)

    async def _read(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await _in(self._reader, function, *args, **kwargs)

    def _write_soon(
        self, function: Callable[P, Any], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Write what may be lost if the disk fails: the outcome writes it all anew."""
        _in(self._writer, function, *args, **kwargs).add_done_callback(_warn)


def _in(
    threads: ThreadPoolExecutor,
    function: Callable[P, T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    return loop.run_in_executor(threads, partial(function, *args, **kwargs))


def _warn(written: asyncio.Future[Any]) -> None:
    if not written.cancelled() and (error := written.exception()) is not None:
        logger.warning("A step of a job is not stored: %s", error)


def _failure(error: DeepaasError) -> dict[str, Any]:
    message = _storable(str(error))
    reply = {"status": error.status, "message": message, "headers": error.headers}
    if isinstance(error, ModelRaised) and error.status != 500:
        message = f"{error.kind}: {message}"
    return {"status": Status.ERROR, "message": message, "reply": reply}


def _kept_reply(job: Job, path: Path, large: int) -> Reply:
    assert job.reply is not None
    reply = Reply(job.reply["media_type"], filename=job.reply["filename"])
    try:
        if path.stat().st_size <= large and job.reply.get("whole"):
            return reply._replace(body=path.read_bytes())
    except FileNotFoundError as error:
        raise Gone("There is no result: its file was removed.") from error
    return reply._replace(path=str(path))


def _storable(text: str) -> str:
    """Return a text that every database takes, whatever a model has said."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")


def shown(job: Job) -> dict[str, Any]:
    """Return a record as callers see it; what there is none of is left out."""
    value: dict[str, Any] = {
        "uuid": job.uuid,
        "model": job.model,
        "date": job.date,
        "args": job.args,
        "status": job.status.value,
    }
    if job.message is not None:
        value["message"] = job.message
    if job.progress is not None:
        value["progress"] = job.progress
    if job.finish_date is not None:
        value["result"] = {"finish_date": job.finish_date}
        if job.duration is not None:
            value["result"]["duration"] = job.duration
        if job.kind is Kind.TRAIN and job.status is Status.DONE:
            value["result"]["output"] = job.output
    return value


def shown_progress(latest: Report) -> dict[str, Any]:
    """Return the latest report as callers see it."""
    return {
        "step": latest.step,
        "total": latest.total,
        "metrics": latest.metrics,
        "date": iso_date(latest.time),
    }


def _now() -> str:
    return iso_date(time.time())
