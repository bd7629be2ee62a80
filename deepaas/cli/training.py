"""The record of a training, in the shape that the server's jobs have."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepaas.api import schemas
from deepaas.encoding import JSONText, encode_json
from deepaas.executors import Began, Event, Reply
from deepaas.jobs.records import (
    Kind,
    Outcome,
    Status,
    describe_job,
    describe_progress,
    new_job,
)
from deepaas.progress import Batch

__all__ = ["Status", "Training"]


class Training:
    """A training from its start to its end; its record is not stored."""

    def __init__(self, model: str, args: Mapping[str, Any]) -> None:
        self._began: float | None = None
        self.job = new_job(Kind.TRAIN, model, args)

    def handle_event(self, event: Event) -> None:
        """Notes an event of the call."""
        if isinstance(event, Began):
            self._began = time.monotonic()
            self.job = replace(self.job, status=Status.RUNNING)
        elif isinstance(event, Batch):
            self.job = replace(self.job, progress=describe_progress(event.latest))

    def done(self, reply: Reply) -> bytes:
        """Ends well; returns the record as JSON."""
        output = JSONText(bytes(reply.body or b"null").decode())
        return self._end(Outcome(Status.DONE, output=output))

    def failed(self, status: Status, message: str) -> bytes:
        """Ends otherwise; returns the record as JSON."""
        return self._end(Outcome(status, message))

    def _end(self, outcome: Outcome) -> bytes:
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        self.job = self.job.finished(outcome, seconds)
        return encode_json(schemas.Job().dump(describe_job(self.job)))
