"""The results of predictions: from a reply to a file, and back."""

import asyncio
import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from deepaas.errors import DeepaasError, Gone
from deepaas.executors import Reply
from deepaas.jobs.files import Files, Part
from deepaas.jobs.records import Job, Outcome, SavedError, SavedReply, Status
from deepaas.jobs.threads import persist

MAX_RESULT_IN_MEMORY = 32 * 1024 * 1024
"""Bytes of a result that is read at once, if it was not a file."""

MIN_APPEND_BYTES = 256 * 1024
"""Bytes of a stream that are written at once; the last ones may be fewer."""


class Results:
    """The results of predictions in the files of jobs."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def collect(self, job: Job, reply: Reply, given_up: asyncio.Event) -> Reply:
        """Writes the pieces of a reply that is a stream to the draft of a result.

        Raises the error that breaks the stream off, NoSpace, StoreFailed or OSError;
        then no draft is left. A database that is not reachable is waited for, until
        `given_up` is set.
        """
        if reply.stream is None:
            return reply
        append = partial(self._files.append, job.uuid, Part.DRAFT)
        size, buffer = 0, bytearray()
        try:
            async with contextlib.aclosing(reply.stream) as pieces:
                async for piece in pieces:
                    buffer += piece
                    if len(buffer) >= MIN_APPEND_BYTES:
                        await persist(partial(append, bytes(buffer), size), given_up)
                        size += len(buffer)
                        buffer.clear()
            if buffer:
                await persist(partial(append, bytes(buffer), size), given_up)
        except BaseException:
            await _shielded(self._files.remove, [job.uuid], [Part.DRAFT])
            raise
        return reply

    async def save(self, job: Job, reply: Reply, given_up: asyncio.Event) -> Outcome:
        """Saves a reply, and returns the outcome of its job.

        `collect` has written the pieces of a stream to the draft. Raises NoSpace,
        StoreFailed or OSError; a temporary file of the reply is gone in any case. A
        database that is not reachable is waited for, until `given_up` is set.
        """
        whole = reply.path is None and reply.stream is None
        try:
            if reply.stream is not None:
                save = partial(self._files.finish_draft, job.uuid)
            else:
                source = reply.body if reply.path is None else Path(reply.path)
                put = partial(self._files.put, job.uuid, Part.RESULT, source or b"")
                save = partial(put, move=reply.delete)
            await persist(save, given_up)
        except BaseException:
            if reply.delete and reply.path is not None:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(reply.path)
            raise
        saved = SavedReply(reply.media_type, reply.filename, whole)
        return Outcome(Status.DONE, reply=saved)

    async def load(self, job: Job, *, in_parts: bool = False) -> Reply:
        """Returns the answer of a prediction that has ended.

        It is a file if it was one, if it is large, or with `in_parts`. Raises Gone if
        there is none, and the error that the prediction ended with.
        """
        if job.reply is None:
            raise Gone(f"There is no result: {job.message or job.status.value}.")
        if isinstance(job.reply, SavedError):
            raise job.reply.error()
        max_size = 0 if in_parts else MAX_RESULT_IN_MEMORY
        return await asyncio.to_thread(self._load, job.uuid, job.reply, max_size)

    def _load(self, uuid: str, saved: SavedReply, max_size: int) -> Reply:
        reply = Reply(saved.media_type, filename=saved.filename)
        size = self._files.size(uuid, Part.RESULT)
        if size is not None and saved.whole and size <= max_size:
            body = self._files.read(uuid, Part.RESULT, 0, size)
            return reply._replace(body=body)
        found = self._files.open(uuid, Part.RESULT)
        if found is None:
            raise Gone("There is no result: its file was removed.")
        return reply._replace(path=str(found.path), delete=found.is_copy)


async def _shielded(call: Callable[..., None], *args: Any) -> None:
    """Removes files in a thread, also for a task that is cancelled again."""
    with contextlib.suppress(DeepaasError, OSError):
        await asyncio.shield(asyncio.to_thread(call, *args))
