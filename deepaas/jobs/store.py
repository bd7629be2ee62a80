"""The records of jobs in a database. The only module that knows SQL.

All methods block: callers keep them off the event loop.
"""

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from deepaas.encoding import JSONText, encode_json, iso_date
from deepaas.errors import (
    DeepaasError,
    NoSpace,
    StartError,
    StoreFailed,
    StoreUnavailable,
)
from deepaas.jobs.records import (
    INTERRUPTED,
    Job,
    Kind,
    Records,
    Status,
    reply_from_data,
    reply_to_data,
)
from deepaas.progress import Batch, Report

logger = logging.getLogger(__name__)

MAX_REMOVED_AT_ONCE = 500
"""Jobs that are removed in one transaction."""

MAX_LISTED_OUTPUT = 65536
"""Characters of JSON; a list leaves out a longer output."""

LOCK_TIMEOUT = 0.25
"""Seconds for which SQLite itself waits for another process; callers repeat."""

START_TIMEOUT = 10.0
"""Seconds for which a start waits for a database that is locked or not reachable."""

UNAVAILABLE_LOG_INTERVAL = 10.0
"""Seconds between two log lines on a database that is locked or not reachable."""

MAIN_FILE = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
"""Asks SQLite for the path of its file, in bytes: it need not be UTF-8."""

NO_FILE = "--database-url does not name a file; all jobs would be lost"

MIGRATION_LOCK = 0x6465657061617301
"""The advisory lock in PostgreSQL of the server that changes the tables."""


_metadata = sa.MetaData()

_version = sa.Table("schema_version", _metadata, sa.Column("version", sa.Integer))


class _JSONText(sa.types.TypeDecorator[Any]):
    """JSON that is stored as it came, and never read."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.text

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else JSONText(value)


class _JSON(sa.types.TypeDecorator[Any]):
    """JSON as text: databases' own types change numbers and refuse characters."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        return None if value is None else encode_json(value).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        return None if value is None else json.loads(value)


class _Reply(_JSON):
    """A saved reply as JSON."""

    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        data = None if value is None else reply_to_data(value)
        return super().process_bind_param(data, dialect)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        data = super().process_result_value(value, dialect)
        return None if data is None else reply_from_data(data)


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
    sa.Column("reply", _Reply),
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

_COLUMNS = [_jobs.c[field.name] for field in fields(Job)]

MIGRATIONS: Sequence[Callable[[sa.Connection], None]] = ()
"""The first leads from version 1 of the tables to version 2, and so on."""

VERSION = len(MIGRATIONS) + 1


class SQLRecords(Records):
    """The records of jobs in any database that SQLAlchemy knows.

    The tables are made, or brought to the present version, by one server at a time.
    Waits for up to `timeout` seconds for a database that is locked or not reachable.
    Raises StartError when it cannot be used.
    """

    def __init__(self, url: str | sa.URL, timeout: float = START_TIMEOUT) -> None:
        self._file: tuple[str, os.stat_result] | None = None
        """The database's file, and its state at the start, if it has one."""
        self._log_again = 0.0
        """When an unavailable database is logged again, by the monotonic clock."""
        with contextlib.ExitStack() as on_failure:
            try:
                self._engine = _create_engine(url)
                on_failure.callback(self._engine.dispose)
                self._read = partial(self._transaction, self._engine)
                # SQLite locks where a transaction that writes begins: one that reads
                # first could not wait for another's write.
                writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
                self._write = partial(self._transaction, writer)
                self._wait_and_migrate(timeout)
                self._file = self._find_file()
            except (sa.exc.SQLAlchemyError, ImportError, StoreFailed, NoSpace) as error:
                reason = _text_of(error.__cause__ or error)
                raise StartError(
                    f"cannot use the database of jobs: {reason}"
                ) from error
            on_failure.pop_all()

    @classmethod
    def in_folder(cls, folder: Path) -> "SQLRecords":
        """Returns the records in a folder, in an SQLite database."""
        return cls(sa.URL.create("sqlite", database=str(folder / "jobs.sqlite")))

    def close(self) -> None:
        """Closes the connections to the database."""
        self._engine.dispose()

    # -- the tables

    def _wait_and_migrate(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self._write() as connection:
                    return _migrate(connection)
            except StoreUnavailable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(LOCK_TIMEOUT)

    def _find_file(self) -> tuple[str, os.stat_result] | None:
        if self._engine.dialect.name != "sqlite":
            return None
        with self._read() as connection:
            [path] = connection.exec_driver_sql(MAIN_FILE).one()
        if not path:
            raise StartError(NO_FILE)
        return os.fsdecode(path), os.stat(path)

    # -- transactions

    @contextlib.contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        self._check_file()
        try:
            with engine.begin() as connection:
                yield connection
        except sa.exc.SQLAlchemyError as error:
            failure = _failure(error, engine.dialect.name)
            if isinstance(failure, StoreUnavailable):
                self._log_unavailable(error)
            raise failure from error

    def _log_unavailable(self, error: Exception) -> None:
        """Logs the reason, which callers do not get, once in a while."""
        now = time.monotonic()
        if now >= self._log_again:
            self._log_again = now + UNAVAILABLE_LOG_INTERVAL
            logger.warning("The database of jobs: %s", _text_of(error))

    def _check_file(self) -> None:
        """Raises StoreFailed if the file was removed: SQLite would write to it still,
        and everything would be lost with this process."""
        if self._file is not None:
            path, before = self._file
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(path), before):
                    return
            raise StoreFailed(
                "The file of the database of jobs was removed or replaced; "
                "put it back, or restart the server."
            )

    # -- records

    def insert(self, job: Job) -> None:
        """Adds a record."""
        with self._write() as connection:
            connection.execute(_jobs.insert().values(_columns(job)))

    def update(self, job: Job) -> None:
        """Replaces a record; does nothing if it has been removed."""
        statement = _jobs.update().where(_jobs.c.uuid == job.uuid)
        with self._write() as connection:
            connection.execute(statement.values(_columns(job)))

    def get(self, uuid: str) -> Job | None:
        """Returns a record, None if there is none."""
        with self._read() as connection:
            query = sa.select(*_COLUMNS).where(_jobs.c.uuid == uuid)
            row = connection.execute(query).one_or_none()
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
        """Returns records, newest first; a sentence stands for a large output."""
        columns = [c for c in _COLUMNS if c is not _jobs.c.output]
        length = sa.func.length(_jobs.c.output, type_=sa.Integer)
        small = sa.case((length <= MAX_LISTED_OUTPUT, _jobs.c.output)).label("output")
        query = sa.select(*columns, small, length.label("length")).where(
            _jobs.c.model == model, _jobs.c.kind == kind.value
        )
        if status is not None:
            query = query.where(_jobs.c.status == status.value)
        query = query.order_by(_jobs.c.number.desc()).limit(limit).offset(offset)
        with self._read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Returns the number of records by model, kind and status."""
        by = (_jobs.c.model, _jobs.c.kind, _jobs.c.status)
        query = sa.select(*by, sa.func.count()).group_by(*by)
        with self._read() as connection:
            return {
                (model, Kind(kind), Status(status)): number
                for model, kind, status, number in connection.execute(query)
            }

    def interrupt(self) -> int:
        """Ends the jobs that a dead server has left open; returns their number."""
        interrupted = 0
        ended = {"status": Status.ERROR.value, "finish_date": iso_date(time.time())}
        with self._write() as connection:
            for status, message in INTERRUPTED.items():
                statement = _jobs.update().where(_jobs.c.status == status.value)
                statement = statement.values(message=message, **ended)
                interrupted += connection.execute(statement).rowcount
        return interrupted

    # -- the history of progress

    def report(self, uuid: str, progress: dict[str, Any], batch: Batch) -> None:
        """Stores the latest progress, and adds a batch of reports to the history."""
        rows = {r.number: r for r in (*batch.history, batch.latest)}
        number, this = _reports.c.number, _reports.c.uuid == uuid
        old = (number % batch.stride != 0) | (number >= min(rows))
        latest = _jobs.update().where(_jobs.c.uuid == uuid).values(progress=progress)
        with self._write() as connection:
            if connection.execute(latest).rowcount:
                connection.execute(_reports.delete().where(this, old))
                new = [{"uuid": uuid, **row._asdict()} for row in rows.values()]
                connection.execute(_reports.insert(), new)

    def history(self, uuid: str) -> list[Report]:
        """Returns the reports in a job's history, oldest first."""
        columns = [_reports.c[name] for name in Report._fields]
        query = sa.select(*columns).where(_reports.c.uuid == uuid)
        with self._read() as connection:
            rows = connection.execute(query.order_by(_reports.c.number))
            return [Report(*row) for row in rows]

    # -- the removal of jobs

    def remove(self, uuids: Sequence[str]) -> int:
        """Removes records with their history; returns how many there were."""
        removed = 0
        for start in range(0, len(uuids), MAX_REMOVED_AT_ONCE):
            some = uuids[start : start + MAX_REMOVED_AT_ONCE]
            with self._write() as connection:
                connection.execute(_reports.delete().where(_reports.c.uuid.in_(some)))
                jobs = _jobs.delete().where(_jobs.c.uuid.in_(some))
                removed += connection.execute(jobs).rowcount
        return removed

    def expired(self, keep: int, since: str) -> Sequence[str]:
        """Returns the uuids of the jobs that are too many or too old."""
        ended = _jobs.c.status.in_([s.value for s in Status if s.ended])
        query = sa.select(_jobs.c.uuid).where(ended)
        # Early versions did not store when an interrupted job had ended.
        end = sa.func.coalesce(_jobs.c.finish_date, _jobs.c.date)
        found: list[str] = []
        with self._read() as connection:
            if keep:
                # No index knows the end: nothing is sorted while there are few.
                count = sa.select(sa.func.count()).select_from(_jobs).where(ended)
                beyond = connection.execute(count).scalar_one() - keep
                if beyond > 0:
                    first = query.order_by(end, _jobs.c.number).limit(beyond)
                    found += connection.scalars(first)
            if since:
                # A job that ended before this date also began before it, and an index
                # finds those.
                old = query.where(_jobs.c.date < since, end < since)
                found += connection.scalars(old)
        return list(dict.fromkeys(found))


def _columns(job: Job) -> dict[str, Any]:
    values = {field.name: getattr(job, field.name) for field in fields(Job)}
    return {**values, "kind": job.kind.value, "status": job.status.value}


def _job(row: Any) -> Job:
    values = dict(row._mapping)
    length = values.pop("length", None)
    if length is not None and values["output"] is None and length > MAX_LISTED_OUTPUT:
        text = f'"(large: {length} characters of JSON; see the job itself)"'
        values["output"] = JSONText(text)
    values["kind"] = Kind(values["kind"])
    values["status"] = Status(values["status"])
    return Job(**values)


def _migrate(connection: sa.Connection) -> None:
    """Brings the tables to the present version, if no other server does so now."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    # In SQLite the transaction holds the lock.
    _metadata.create_all(connection, [_version])
    version = connection.scalar(sa.select(_version.c.version))
    if version == VERSION:
        return
    if version is None:
        _metadata.create_all(connection)
    elif version > VERSION:
        message = "the database of jobs was written by a newer version of deepaas"
        raise StartError(message)
    else:
        for step in MIGRATIONS[version - 1 :]:
            step(connection)
    connection.execute(_version.delete())
    connection.execute(_version.insert().values(version=VERSION))


def _create_engine(url: str | sa.URL) -> sa.Engine:
    if sa.make_url(url).get_backend_name() != "sqlite":
        # A connection that the database has closed meanwhile is replaced.
        return sa.create_engine(url, pool_pre_ping=True)
    engine = sa.create_engine(url, connect_args={"timeout": LOCK_TIMEOUT})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # Python's own transactions would begin after the first CREATE TABLE.
        connection.isolation_level = None
        [mode] = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode == "memory":
            raise StartError(NO_FILE)
        # A stored record survives a power failure.
        connection.execute("PRAGMA synchronous=FULL")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        statement = connection.get_execution_options().get("begin", "BEGIN")
        connection.exec_driver_sql(statement)

    return engine


def _failure(error: sa.exc.SQLAlchemyError, dialect: str) -> DeepaasError:
    """Returns the error for callers of what a database has raised."""
    text = _text_of(error)
    if "disk is full" in text or "No space left on device" in text:
        return NoSpace()
    if dialect == "sqlite":
        # Python 3.10 gives no code of an error.
        if "is locked" in text or "locking protocol" in text:
            return StoreUnavailable(
                "The database of jobs is locked by another process; try again later."
            )
    elif isinstance(error, sa.exc.OperationalError | sa.exc.TimeoutError):
        return StoreUnavailable(
            "The database of jobs is not reachable now; try again later."
        )
    return StoreFailed(f"The database of jobs failed: {text}.")


def _text_of(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error)
