"""The results of predictions: from a reply to a file, and back."""

import asyncio
import contextlib
import os
from functools import partial
from pathlib import Path

from deepaas.errors import Gone
from deepaas.executors import Reply
from deepaas.jobs.files import Files, Part
from deepaas.jobs.records import Job, Outcome, SavedError, SavedReply, Status

MAX_RESULT_IN_MEMORY = 32 * 1024 * 1024
"""Bytes of a result that is read at once, if it was not a file."""


class Results:
    """The results of predictions in the files of jobs."""

    def __init__(self, files: Files) -> None:
        self._files = files

    async def collect(self, job: Job, reply: Reply) -> Reply:
        """Writes the pieces of a reply that is a stream to the draft of a result.

        Raises the error that breaks the stream off, NoSpace or OSError; then no draft
        is left.
        """
        if reply.stream is None:
            return reply
        append = partial(self._files.append, job.uuid, Part.DRAFT)
        try:
            async with contextlib.aclosing(reply.stream) as pieces:
                async for piece in pieces:
                    await asyncio.to_thread(append, piece)
        except BaseException:
            self._files.remove([job.uuid], [Part.DRAFT])
            raise
        return reply

    async def save(self, job: Job, reply: Reply) -> Outcome:
        """Saves a reply, and returns the outcome of its job.

        `collect` has written the pieces of a stream to the draft. Raises NoSpace or
        OSError; a temporary file of the reply is gone in any case.
        """
        whole = reply.path is None and reply.stream is None
        try:
            if reply.stream is not None:
                await asyncio.to_thread(self._files.finish_draft, job.uuid)
            else:
                source = reply.body if reply.path is None else Path(reply.path)
                put = partial(self._files.put, job.uuid, Part.RESULT, source or b"")
                await asyncio.to_thread(put, move=reply.delete)
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
        found = self._files.open(uuid, Part.RESULT)
        if found is None:
            raise Gone("There is no result: its file was removed.")
        if saved.whole and found.size <= max_size:
            body = self._files.read(uuid, Part.RESULT, 0, found.size)
            return reply._replace(body=body)
        return reply._replace(path=str(found.path))
