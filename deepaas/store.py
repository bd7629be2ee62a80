"""The jobs on disk: a table of records, and for each job a log and a result.

Everything here blocks: callers keep it off the event loop. It knows nothing of jobs
that run.
"""

import contextlib
import enum
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from deepaas.encoding import JSONText, encode_json, iso_date
from deepaas.errors import NoSpace, StartError, StoreFailed, disk_errors
from deepaas.progress import Batch, Report

AT_ONCE = 500
"""Jobs that are removed in one transaction."""

LARGE = 65536
"""Characters of a result's JSON from which a list leaves it out."""


class Kind(str, enum.Enum):
    """What a job does."""

    TRAIN = "train"
    PREDICT = "predict"


class Status(str, enum.Enum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    ERROR = "error"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in (Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True)
class Job:
    """A record."""

    uuid: str
    """32 hexadecimal digits."""
    kind: Kind
    model: str
    date: str
    """When it was asked for; ISO 8601 with zone, as all dates here."""
    args: dict[str, Any]
    """JSON values, secrets left out."""
    status: Status = Status.QUEUED
    message: str | None = None
    """Why it did not end well."""
    progress: dict[str, Any] | None = None
    """The latest report: step, total, metrics, date."""
    output: JSONText | None = None
    """What a training returned."""
    finish_date: str | None = None
    duration: float | None = None
    """Seconds that it ran."""
    reply: dict[str, Any] | None = None
    """How the result of a prediction is sent: status, headers, media type, filename,
    and whether it came whole, not as a file."""


_metadata = sa.MetaData()

_version = sa.Table("schema_version", _metadata, sa.Column("version", sa.Integer))


class _JSONText(sa.types.TypeDecorator[Any]):
    """JSON that is stored as it came, and never read."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(
        self, value: JSONText | None, dialect: sa.Dialect
    ) -> str | None:
        return None if value is None else value.text

    def process_result_value(
        self, value: str | None, dialect: sa.Dialect
    ) -> JSONText | None:
        return None if value is None else JSONText(value)


class _JSON(sa.types.TypeDecorator[Any]):
    """JSON as text: databases' own types change numbers and refuse characters."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else encode_json(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


_jobs = sa.Table(
    "jobs",
    _metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(32), nullable=False, unique=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("model", sa.String(255), nullable=False),
    sa.Column("date", sa.String(40), nullable=False),
    sa.Column("args", _JSON, nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("message", sa.Text),
    sa.Column("progress", _JSON),
    sa.Column("output", _JSONText),
    sa.Column("finish_date", sa.String(40)),
    sa.Column("duration", sa.Float),
    sa.Column("reply", _JSON),
    sa.Index("jobs_listed", "model", "kind", "number"),
    sa.Index("jobs_listed_by_status", "model", "kind", "status", "number"),
    sa.Index("jobs_by_status", "status", "number"),
    # Numbers are never used twice: they are the order of the jobs.
    sqlite_autoincrement=True,
)

_reports = sa.Table(
    "reports",
    _metadata,
    sa.Column("uuid", sa.String(32), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("step", _JSON),
    sa.Column("total", _JSON),
    sa.Column("metrics", _JSON, nullable=False),
)


MIGRATIONS: Sequence[Callable[[sa.Connection], None]] = ()
"""The first leads from version 1 of the tables to version 2, and so on."""

VERSION = len(MIGRATIONS) + 1


def append(path: Path, data: bytes) -> None:
    """Write data to the end of a file. Raises NoSpace when the disk is full."""
    with disk_errors(), open(path, "ab") as file:
        file.write(data)


class Store:
    """The jobs in a folder, and their records in a database, in that folder by default.

    Raises StartError when it cannot be used, for example while another server does.
    """

    def __init__(self, folder: Path, url: str = "") -> None:
        self._logs = folder / "logs"
        self._results = folder / "results"
        try:
            for part in (folder, self._logs, self._results):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(folder / "lock")
        except OSError as error:
            raise StartError(
                f"cannot keep jobs in {folder}: {error.strerror}; "
                "choose another folder with --state-dir"
            ) from error
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._lock.close)
            try:
                self._engine = _engine(url or _sqlite(folder / "jobs.sqlite"))
                on_failure.callback(self._engine.dispose)
                self._migrate()
            except (sa.exc.SQLAlchemyError, ImportError) as error:
                raise StartError(
                    f"cannot use the database of jobs: {_explain(error)}"
                ) from error
            on_failure.pop_all()

    def _migrate(self) -> None:
        with self._engine.begin() as connection:
            _metadata.create_all(connection, [_version])
            version = connection.scalar(sa.select(_version.c.version))
            if version is None:
                _metadata.create_all(connection)
            elif version > VERSION:
                raise StartError(
                    "the database of jobs was written by a newer version of deepaas"
                )
            else:
                for step in MIGRATIONS[version - 1 :]:
                    step(connection)
            connection.execute(_version.delete())
            connection.execute(_version.insert().values(version=VERSION))

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            if "disk is full" in str(error):
                raise NoSpace from error
            raise StoreFailed(
                f"The database of jobs failed: {_explain(error)}."
            ) from error

    def close(self) -> None:
        self._engine.dispose()
        self._lock.close()

    # -- records

    def insert(self, job: Job) -> None:
        """Add a record. Raises NoSpace or StoreFailed."""
        with self._transaction() as connection:
            connection.execute(_jobs.insert().values(_columns(job)))

    def update(self, job: Job) -> None:
        """Write a record anew. Raises NoSpace or StoreFailed."""
        statement = _jobs.update().where(_jobs.c.uuid == job.uuid)
        with self._transaction() as connection:
            connection.execute(statement.values(_columns(job)))

    def get(self, uuid: str) -> Job | None:
        with self._transaction() as connection:
            row = connection.execute(
                sa.select(*_COLUMNS).where(_jobs.c.uuid == uuid)
            ).one_or_none()
        return None if row is None else _job(row)

    def find(
        self,
        kind: Kind,
        model: str,
        *,
        status: Status | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """Return records, newest first; a large output is replaced by a sentence."""
        columns = [c for c in _COLUMNS if c is not _jobs.c.output]
        length = sa.func.length(_jobs.c.output, type_=sa.Integer)
        small = sa.case((length <= LARGE, _jobs.c.output)).label("output")
        query = sa.select(*columns, small, length.label("length")).where(
            _jobs.c.model == model, _jobs.c.kind == kind.value
        )
        if status is not None:
            query = query.where(_jobs.c.status == status.value)
        query = query.order_by(_jobs.c.number.desc()).limit(limit).offset(offset)
        with self._transaction() as connection:
            return [_job(row) for row in connection.execute(query)]

    def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Return the number of records by model, kind and status."""
        by = (_jobs.c.model, _jobs.c.kind, _jobs.c.status)
        query = sa.select(*by, sa.func.count()).group_by(*by)
        with self._transaction() as connection:
            return {
                (model, Kind(kind), Status(status)): number
                for model, kind, status, number in connection.execute(query)
            }

    def interrupt(self) -> int:
        """Close what a server that died has left open; return how many there were."""
        interrupted = 0
        with self._transaction() as connection:
            for status, message in INTERRUPTED.items():
                statement = _jobs.update().where(_jobs.c.status == status.value)
                values = {
                    "status": Status.ERROR.value,
                    "message": message,
                    "finish_date": iso_date(time.time()),
                }
                interrupted += connection.execute(statement.values(values)).rowcount
        return interrupted

    # -- the history of progress

    def report(self, uuid: str, progress: dict[str, Any], batch: Batch) -> None:
        """Store the latest progress, and add to the history, whose end it always is."""
        rows = {r.number: r for r in (*batch.history, batch.latest)}
        number = _reports.c.number
        old = (number % batch.stride != 0) | (number >= min(rows))
        with self._transaction() as connection:
            connection.execute(
                _jobs.update().where(_jobs.c.uuid == uuid).values(progress=progress)
            )
            connection.execute(_reports.delete().where(_reports.c.uuid == uuid, old))
            connection.execute(
                _reports.insert(),
                [{"uuid": uuid, **row._asdict()} for row in rows.values()],
            )

    def history(self, uuid: str) -> list[Report]:
        """Return what is kept of a job's reports, oldest first."""
        columns = [_reports.c[name] for name in Report._fields]
        query = sa.select(*columns).where(_reports.c.uuid == uuid)
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(_reports.c.number))
            return [Report(*row) for row in rows]

    # -- files

    def append_log(self, uuid: str, text: bytes) -> None:
        append(self.log(uuid), text)

    def read_log(self, uuid: str, start: int, size: int) -> bytes:
        """Return bytes of a log; nothing where there are none."""
        try:
            with open(self.log(uuid), "rb") as file:
                file.seek(start)
                return file.read(size)
        except FileNotFoundError:
            return b""

    def log(self, uuid: str) -> Path:
        return self._logs / f"{uuid}.log"

    def result(self, uuid: str) -> Path:
        return self._results / uuid

    def draft(self, uuid: str) -> Path:
        """Return the place of a result that is still being written."""
        return self.result(uuid).with_suffix(".part")

    def keep_result(
        self, uuid: str, source: bytes | memoryview | Path, *, move: bool = False
    ) -> None:
        """Write a result, whole or not at all; a file is copied or moved.

        Raises NoSpace when the disk is full.
        """
        part = self.draft(uuid)
        try:
            with disk_errors():
                if not isinstance(source, Path):
                    part.write_bytes(source)
                elif not move:
                    shutil.copyfile(source, part)
                elif source != part:
                    shutil.move(source, part)
                os.replace(part, self.result(uuid))
        except (OSError, NoSpace):
            part.unlink(missing_ok=True)
            raise

    # -- the end of a job

    def remove(self, uuids: Sequence[str]) -> int:
        """Remove records and all that belongs to them; return how many there were."""
        removed = 0
        for start in range(0, len(uuids), AT_ONCE):
            some = uuids[start : start + AT_ONCE]
            # Files first: what has a record can be removed again.
            for uuid in some:
                for file in (self.log(uuid), self.result(uuid)):
                    file.unlink(missing_ok=True)
            with self._transaction() as connection:
                connection.execute(_reports.delete().where(_reports.c.uuid.in_(some)))
                deleted = connection.execute(
                    _jobs.delete().where(_jobs.c.uuid.in_(some))
                )
                removed += deleted.rowcount
        return removed

    def expired(self, keep: int, since: str) -> Sequence[str]:
        """Return what ended before the last `keep` jobs did, or before `since`.

        With 0 or an empty date there is no such limit.
        """
        ended = _jobs.c.status.in_([s.value for s in Status if s.ended])
        query = sa.select(_jobs.c.uuid).where(ended)
        # Early versions did not say when an interrupted job had ended.
        end = sa.func.coalesce(_jobs.c.finish_date, _jobs.c.date)
        found: list[str] = []
        with self._transaction() as connection:
            if keep:
                # No index knows the end: nothing is sorted while there are few.
                count = sa.select(sa.func.count()).select_from(_jobs).where(ended)
                beyond = connection.execute(count).scalar_one() - keep
                if beyond > 0:
                    first = query.order_by(end, _jobs.c.number).limit(beyond)
                    found += connection.scalars(first)
            if since:
                # What began later has ended later: that is sooner read.
                found += connection.scalars(
                    query.where(_jobs.c.date < since, end < since)
                )
        return list(dict.fromkeys(found))

    def sweep(self) -> None:
        """Remove the results that a server was writing when it died."""
        for file in self._results.glob("*.part"):
            file.unlink()


INTERRUPTED = {
    Status.QUEUED: "interrupted: the server ended before it had begun",
    Status.RUNNING: "interrupted: the server ended while it ran",
}
"""What is said of a job that a server has left behind."""

_COLUMNS = [_jobs.c[field.name] for field in fields(Job)]


def _columns(job: Job) -> dict[str, Any]:
    values = {field.name: getattr(job, field.name) for field in fields(Job)}
    return {**values, "kind": job.kind.value, "status": job.status.value}


def _job(row: Any) -> Job:
    values = dict(row._mapping)
    length = values.pop("length", None)
    if length is not None and values["output"] is None and length > LARGE:
        values["output"] = JSONText(
            f'"(large: {length} characters of JSON; see the job itself)"'
        )
    values["kind"] = Kind(values["kind"])
    values["status"] = Status(values["status"])
    return Job(**values)


def _sqlite(path: Path) -> sa.URL:
    return sa.URL.create("sqlite", database=str(path))


def _engine(url: str | sa.URL) -> sa.Engine:
    engine = sa.create_engine(url)
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: Any, _: Any) -> None:
            [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode == "memory":
                raise StartError("--database-url names no file; what it has is lost")
            # What is stored is stored, even if the power fails.
            connection.execute("PRAGMA synchronous=FULL")

    return engine


def _lock(path: Path) -> IO[str]:
    """Take a lock that ends with this process, however it ends."""
    file = open(path, "w")  # noqa: SIM115 - it is open as long as it is locked
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StartError(
            f"another server keeps its jobs in {path.parent}; "
            "choose another folder with --state-dir"
        ) from error
    return file


def _explain(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error)
