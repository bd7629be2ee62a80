"""The answers of a server, as values of Python."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

ENDED = ("done", "error", "cancelled")


@dataclass(frozen=True)
class Prediction:
    """The answer of a model: a value, or a file."""

    content: bytes
    """The bytes of the answer, as they were sent."""
    media_type: str
    """Its type, such as `image/png`, without parameters."""
    filename: str | None = None
    """The name of the file, if it has one."""
    ignored: tuple[str, ...] = ()
    """The arguments that the model does not have."""
    request_id: str = ""
    """The id under which the server's log has the call."""

    @property
    def value(self) -> Any:
        """Return the value that the model returned: text for a text, bytes for a file.

        The value of a model without a schema comes as a text. It is read as JSON; what
        is not JSON was a text already.
        """
        if self.media_type == "application/json":
            value = json.loads(self.content)
            if isinstance(value, dict) and value.keys() == {"status", "predictions"}:
                return _unwrapped(value["predictions"])
            return value
        if self.media_type == "application/x-ndjson":
            return [json.loads(line) for line in self.content.splitlines() if line]
        return self.text if self.media_type.startswith("text/") else self.content

    @property
    def text(self) -> str:
        """Return the answer as text."""
        return self.content.decode(errors="replace")

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the answer to a file, or into a folder under its own name.

        Returns the path of the file. Raises OSError.
        """
        path = Path(path)
        if path.is_dir():
            path /= Path(self.filename or "prediction").name
        path.write_bytes(self.content)
        return path


def _unwrapped(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def read_prediction(response: httpx.Response) -> Prediction:
    """Return the prediction of an answer, whose body was read."""
    ignored = response.headers.get("X-Ignored-Arguments", "")
    return Prediction(
        content=response.content,
        media_type=media_type_of(response),
        filename=_filename(response.headers.get("Content-Disposition", "")),
        ignored=tuple(unquote(name) for name in ignored.split(",") if name),
        request_id=response.headers.get("X-Request-ID", ""),
    )


def media_type_of(response: httpx.Response) -> str:
    """Return the media type of an answer, without parameters."""
    header: str = response.headers.get("Content-Type", "application/octet-stream")
    return header.partition(";")[0].strip().lower()


def _filename(disposition: str) -> str | None:
    message = Message()
    message["Content-Disposition"] = disposition
    return message.get_filename()


@dataclass(frozen=True)
class Progress:
    """A report of a job's progress."""

    step: float | None
    total: float | None = None
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    date: datetime | None = None

    @property
    def fraction(self) -> float | None:
        """Return the part that is done, from 0 to 1; None if it is not known."""
        if self.step is None or not self.total:
            return None
        return min(1.0, max(0.0, self.step / self.total))


@dataclass(frozen=True)
class JobRecord:
    """A training, or a prediction in the background, as it was at some time."""

    uuid: str
    model: str
    date: datetime
    """The time when it was asked for."""
    status: str
    """`queued`, `running`, `done`, `error` or `cancelled`."""
    args: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""
    """The reason why it did not end well."""
    progress: Progress | None = None
    output: Any = None
    """The value that a training returned."""
    finish_date: datetime | None = None
    duration: float | None = None
    """Seconds that it ran."""

    @property
    def ended(self) -> bool:
        """Tell whether it has ended, well or not."""
        return self.status in ENDED


def read_progress(value: Mapping[str, Any]) -> Progress:
    """Return a report of progress from its JSON form."""
    return Progress(
        step=value.get("step"),
        total=value.get("total"),
        metrics=value.get("metrics", {}),
        date=_date(value.get("date")),
    )


def read_job(value: Mapping[str, Any]) -> JobRecord:
    """Return a job from its JSON form."""
    result = value.get("result", {})
    progress = value.get("progress")
    date = _date(value["date"])
    assert date is not None
    return JobRecord(
        uuid=value["uuid"],
        model=value["model"],
        date=date,
        status=value["status"],
        args=value.get("args", {}),
        message=value.get("message", ""),
        progress=None if progress is None else read_progress(progress),
        output=result.get("output"),
        finish_date=_date(result.get("finish_date")),
        duration=result.get("duration"),
    )


def _date(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
