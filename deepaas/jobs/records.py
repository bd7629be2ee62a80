"""The record of a job, and the protocol of what keeps records. No SQL, no files."""

import enum
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from deepaas.encoding import JSONText, iso_date
from deepaas.errors import DeepaasError, ModelRaised
from deepaas.progress import Batch, Report


class Kind(str, enum.Enum):
    """The method that a job calls."""

    TRAIN = "train"
    PREDICT = "predict"


class Status(str, enum.Enum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Tells whether a job in this state never changes again."""
        return self not in (Status.QUEUED, Status.RUNNING)


INTERRUPTED = {
    Status.QUEUED: "interrupted: the server ended before it had begun",
    Status.RUNNING: "interrupted: the server ended while it ran",
}
"""The messages of jobs that a dead server has left open."""


@dataclass(frozen=True)
class SavedReply:
    """The head of a prediction's answer; the result itself is a file."""

    media_type: str
    filename: str | None = None
    """The name under which the caller receives it."""
    whole: bool = False
    """The model returned it as one value, not as a file or a stream."""


@dataclass(frozen=True)
class SavedError:
    """The error that a prediction without `Prefer` would have answered with."""

    status: int
    """HTTP status."""
    message: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def error(self) -> DeepaasError:
        """Returns the error to raise."""
        return DeepaasError(self.message, status=self.status, headers=self.headers)


def reply_to_data(reply: SavedReply | SavedError) -> dict[str, Any]:
    """Returns the JSON form of a saved reply, as databases have had it from the first
    version on."""
    status = {"status": 200} if isinstance(reply, SavedReply) else {}
    return {**status, **asdict(reply)}


def reply_from_data(data: Mapping[str, Any]) -> SavedReply | SavedError:
    """Returns the saved reply that has this JSON form."""
    if "media_type" not in data:
        return SavedError(data["status"], data["message"], data.get("headers") or {})
    whole = bool(data.get("whole"))  # early versions did not write it
    return SavedReply(data["media_type"], data["filename"], whole)


@dataclass(frozen=True)
class Outcome:
    """The end of a job: its status, and a message, an output or a reply."""

    status: Status
    message: str | None = None
    """The reason, unless the job is done."""
    output: JSONText | None = None
    """The value that a training returned."""
    reply: SavedReply | SavedError | None = None
    """The answer of a prediction."""

    @classmethod
    def of_error(cls, error: DeepaasError) -> "Outcome":
        """Returns the outcome of a call that raised."""
        message = storable(str(error))
        reply = SavedError(error.status, message, error.headers)
        if isinstance(error, ModelRaised) and error.status != 500:
            message = f"{error.kind}: {message}"
        return cls(Status.ERROR, message, reply=reply)


@dataclass(frozen=True)
class Job:
    """A record."""

    uuid: str
    """32 hexadecimal digits."""
    kind: Kind
    model: str
    date: str
    """The time of the request; ISO 8601 with zone, as all dates here."""
    args: dict[str, Any]
    """JSON values, secrets left out."""
    status: Status = Status.QUEUED
    message: str | None = None
    """As in `Outcome`, as are `output` and `reply`."""
    progress: dict[str, Any] | None = None
    """The latest report: step, total, metrics, date."""
    output: JSONText | None = None
    finish_date: str | None = None
    duration: float | None = None
    """Seconds that the model ran."""
    reply: SavedReply | SavedError | None = None
    owner: str = ""
    """The uuid of the server that runs it."""
    epoch: int = 0
    """Counts the changes of what may write the record; only its owner may, and only
    as long as this number is the record's."""

    def finished(self, outcome: Outcome, seconds: float) -> "Job":
        """Returns the record of this job when it has ended; the model ran `seconds`."""
        return replace(
            self,
            status=outcome.status,
            message=outcome.message,
            output=outcome.output,
            reply=outcome.reply,
            finish_date=iso_date(time.time()),
            duration=round(seconds, 3),
        )


class RequestKey(NamedTuple):
    """The key of a request that begins a job: the same key gives the same job."""

    text: str
    fingerprint: str
    """Equal for equal arguments."""


class KeyTaken(DeepaasError):
    """A job with this key exists already."""


class Records(Protocol):
    """Keeps the records of jobs, and the history of their progress.

    Every method raises StoreUnavailable when it may succeed a little later, and NoSpace
    or StoreFailed when it cannot.
    """

    is_shared: bool
    """Tells whether several servers may use them at once; each has a lease then."""

    def insert(self, job: Job, key: RequestKey | None = None) -> None:
        """Adds a record. Raises KeyTaken if another job has this key."""

    def update(self, job: Job) -> bool:
        """Replaces a record; returns False if it has been removed, or has another owner
        or epoch by now."""

    def find_key(self, kind: Kind, model: str, text: str) -> tuple[str, str] | None:
        """Returns the uuid and the fingerprint of the job with this key, if there is
        one that has not expired."""

    def get(self, uuid: str) -> Job | None:
        """Returns a record, None if there is none."""

    def find(
        self,
        kind: Kind,
        model: str,
        *,
        status: Status | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """Returns records, newest first; a sentence stands for a large output."""

    def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Returns the number of records by model, kind and status."""

    def still_open(self, uuids: Sequence[str]) -> list[str]:
        """Returns those of these jobs that have not ended."""

    def unknown(self, uuids: Sequence[str]) -> list[str]:
        """Returns those of these jobs that have no record."""

    def renew(self, owner: str, name: str) -> dict[str, bool]:
        """Renews the lease of a server, or begins one. Returns its open jobs, and
        whether each has to be cancelled."""

    def adopt(self, owner: str, lease: float, grace: float) -> list[str]:
        """Ends the open jobs of servers that have not renewed their leases for `lease`
        seconds; of all servers but `owner`, if the database is not shared.

        Does nothing in the first `grace` seconds of the database itself: other servers
        may not have reached it yet. Returns the uuids.
        """

    def give_up(self, uuid: str, owner: str) -> bool:
        """Ends an open job that its owner does not run; returns whether it was open."""

    def leave(self, owner: str) -> None:
        """Ends the lease of a server, unless it leaves open jobs behind."""

    def request_cancel(self, uuid: str) -> None:
        """Tells the server that runs a job to cancel it."""

    def report(self, job: Job, progress: dict[str, Any], batch: Batch) -> bool:
        """Stores the latest progress, and adds a batch of reports to the history.

        The history ends with the latest report. Returns False as `update` does.
        """

    def history(self, uuid: str) -> list[Report]:
        """Returns the reports in a job's history, oldest first."""

    def expired(self, keep: int, since: str) -> Sequence[str]:
        """Returns the uuids of the jobs that ended before the last `keep` jobs did, or
        before the date `since`. With 0 or an empty date there is no such limit."""

    def prune(
        self, keep: int, since: str, remove: Callable[[Sequence[str]], None]
    ) -> bool:
        """Removes the expired jobs, and keys of requests; `remove` removes the files
        of jobs before their records. Returns False if another server does so now."""

    def remove(self, uuids: Sequence[str]) -> int:
        """Removes records with their history; returns how many there were."""

    def close(self) -> None:
        """Ends the use of the database."""


def new_job(kind: Kind, model: str, args: Mapping[str, Any], owner: str = "") -> Job:
    """Returns the record of a job that is requested now; `args` are JSON values."""
    return Job(
        uuid=uuid.uuid4().hex,
        kind=kind,
        model=model,
        date=iso_date(time.time()),
        args=dict(args),
        owner=owner,
    )


def describe_job(job: Job) -> dict[str, Any]:
    """Returns a record as callers see it; fields without a value are left out."""
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


def describe_progress(latest: Report) -> dict[str, Any]:
    """Returns the latest report as callers see it."""
    return {
        "step": latest.step,
        "total": latest.total,
        "metrics": latest.metrics,
        "date": iso_date(latest.time),
    }


def describe_history(reports: Sequence[Report]) -> dict[str, list[Any]]:
    """Returns reports as arrays: `date`, `step`, `total`, and one for each metric.

    The array of a metric has its name, after `metrics.` if the name is taken.
    """
    curves: dict[str, list[Any]] = {
        "date": [iso_date(report.time) for report in reports],
        "step": [report.step for report in reports],
        "total": [report.total for report in reports],
    }
    for name in dict.fromkeys(name for report in reports for name in report.metrics):
        key = name
        while key in curves:
            key = f"metrics.{key}"
        curves[key] = [report.metrics.get(name) for report in reports]
    return curves


def storable(text: str) -> str:
    """Returns a text that every database accepts: valid Unicode without NUL."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
