"""The record of a training, in the shape that the server's jobs have."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deepaas.api import schemas
from deepaas.encoding import JSONText, encode_json, iso_date
from deepaas.executors import Began, Event, Reply
from deepaas.jobs import shown, shown_progress
from deepaas.progress import Batch
from deepaas.store import Job, Kind, Status

__all__ = ["Status", "Training"]


class Training:
    """A training from its beginning to its end; kept nowhere."""

    def __init__(self, model: str, args: Mapping[str, Any]) -> None:
        self._began: float | None = None
        self.job = Job(
            uuid=uuid.uuid4().hex,
            kind=Kind.TRAIN,
            model=model,
            date=iso_date(time.time()),
            args=dict(args),
        )

    def hear(self, event: Event) -> None:
        if isinstance(event, Began):
            self._began = time.monotonic()
            self.job = replace(self.job, status=Status.RUNNING)
        elif isinstance(event, Batch):
            self.job = replace(self.job, progress=shown_progress(event.latest))

    def done(self, reply: Reply) -> bytes:
        """End well; return the record as JSON."""
        output = JSONText(bytes(reply.body or b"null").decode())
        return self._end(status=Status.DONE, output=output)

    def failed(self, status: Status, message: str) -> bytes:
        """End otherwise; return the record as JSON."""
        return self._end(status=status, message=message)

    def _end(self, **changes: Any) -> bytes:
        seconds = 0.0 if self._began is None else time.monotonic() - self._began
        self.job = replace(
            self.job,
            finish_date=iso_date(time.time()),
            duration=round(seconds, 3),
            **changes,
        )
        return encode_json(schemas.Job().dump(shown(self.job)))
