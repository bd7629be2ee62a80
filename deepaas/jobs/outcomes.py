"""Outcomes that wait in a file until the database takes them.

A server that ends while the database is locked leaves them to its next start.
"""

import asyncio
import json
import logging
from dataclasses import replace
from functools import partial
from typing import Any

from deepaas.encoding import JSONText, encode_json
from deepaas.errors import DeepaasError
from deepaas.jobs.files import Files, Part
from deepaas.jobs.records import (
    Job,
    Records,
    Status,
    reply_from_data,
    reply_to_data,
)

logger = logging.getLogger(__name__)

MAX_OUTCOME_BYTES = 2**31
"""Bytes of an outcome that are read; a training may return a large value."""


async def save_outcome(files: Files, job: Job) -> bool:
    """Writes how a job ended to a file; returns False if that failed."""
    data = {
        "status": job.status.value,
        "message": job.message,
        "progress": job.progress,
        "output": None if job.output is None else job.output.text,
        "finish_date": job.finish_date,
        "duration": job.duration,
        "reply": None if job.reply is None else reply_to_data(job.reply),
        "owner": job.owner,
        "epoch": job.epoch,
    }
    put = partial(files.put, job.uuid, Part.OUTCOME)
    try:
        await asyncio.to_thread(lambda: put(encode_json(data)))
    except (DeepaasError, OSError) as error:
        logger.warning("The outcome of %s is not saved: %s", job.uuid, error)
        return False
    return True


async def forget_outcome(files: Files, job: Job) -> None:
    """Removes the file of an outcome that is stored, or whose job is removed."""
    try:
        await asyncio.to_thread(files.remove, [job.uuid], [Part.OUTCOME])
    except OSError as error:  # the next start removes it
        logger.warning("The file of an outcome is left: %s", error)


def restore_outcomes(files: Files, records: Records) -> None:
    """Stores the outcomes in files. Raises StoreFailed, NoSpace or OSError.

    The file of an unknown job stays: its database may come back. A job that another
    server has ended meanwhile keeps its end.
    """
    for uuid in files.having(Part.OUTCOME):
        job = records.get(uuid)
        if job is None:
            continue
        if not job.status.ended:
            data = files.read(uuid, Part.OUTCOME, 0, MAX_OUTCOME_BYTES)
            try:
                job = _ended(job, json.loads(data))
            except (ValueError, TypeError, KeyError) as error:
                logger.warning("The outcome of %s cannot be read: %r", uuid, error)
            else:
                records.update(job)
        files.remove([uuid], [Part.OUTCOME])


def _ended(job: Job, data: dict[str, Any]) -> Job:
    output, reply = data["output"], data["reply"]
    return replace(
        job,
        status=Status(data["status"]),
        message=data["message"],
        progress=data["progress"],
        output=None if output is None else JSONText(output),
        finish_date=data["finish_date"],
        duration=data["duration"],
        reply=None if reply is None else reply_from_data(reply),
        owner=data.get("owner", job.owner),  # early versions did not write it
        epoch=data.get("epoch", job.epoch),
    )
