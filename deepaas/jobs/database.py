"""The database of jobs: its connections, its transactions and its errors.

All methods block: callers keep them off the event loop.
"""

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from deepaas.errors import (
    DeepaasError,
    NoSpace,
    StartError,
    StoreFailed,
    StoreUnavailable,
)
from deepaas.jobs.notices import CHANNEL
from deepaas.jobs.tables import migrate

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 0.25
"""Seconds for which SQLite itself waits for another process; callers repeat."""

START_TIMEOUT = 10.0
"""Seconds for which a start waits for a database that is locked or not reachable."""

UNAVAILABLE_LOG_INTERVAL = 10.0
"""Seconds between two log lines on a database that is locked or not reachable."""

MAIN_FILE = "SELECT CAST(file AS BLOB) FROM pragma_database_list WHERE name = 'main'"
"""Asks SQLite for the path of its file, in bytes: it need not be UTF-8."""

NO_FILE = "--database-url does not name a file; all jobs would be lost"

POSTGRESQL = "postgresql+psycopg"
"""The dialect and the driver that `postgresql://` stands for: the default driver of
SQLAlchemy 2.0 is another one."""

POSTGRESQL_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""Parameters of a connection that the URL may replace: a host that has vanished is
noticed within 15 s, not after hours."""

READ_ONLY = "25006"
"""The code of the error of a PostgreSQL that another one has taken over from."""


class Database:
    """A database that SQLAlchemy knows, with the tables of jobs.

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
                self.read = partial(self._transaction, self._engine)
                # SQLite locks where a transaction that writes begins: one that reads
                # first could not wait for another's write.
                writer = self._engine.execution_options(begin="BEGIN IMMEDIATE")
                self.write = partial(self._transaction, writer)
                self._wait_and_migrate(timeout)
                self._file = self._find_file()
            except (sa.exc.SQLAlchemyError, ImportError, StoreFailed, NoSpace) as error:
                raise StartError(
                    f"cannot use the database of jobs: {_reason(error)}"
                ) from error
            on_failure.pop_all()
        self.is_shared = self._engine.dialect.name == "postgresql"
        """Tells whether several servers may use it at once."""

    @classmethod
    def in_folder(cls, folder: Path) -> "Database":
        """Returns the SQLite database in a folder."""
        return cls(sa.URL.create("sqlite", database=str(folder / "jobs.sqlite")))

    def close(self) -> None:
        """Closes the connections."""
        self._engine.dispose()

    def now(self) -> sa.ColumnElement[float]:
        """Returns the time, in seconds since the epoch: by the clock of the database,
        if several servers use it."""
        if self.is_shared:
            return sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float)
        return sa.literal(time.time(), sa.Float)

    def notify(self, connection: sa.Connection, notice: str) -> None:
        """Sends a notice to all servers when the transaction is committed."""
        if self.is_shared:
            connection.execute(sa.select(sa.func.pg_notify(CHANNEL, notice)))

    def lock(self, connection: sa.Connection, number: int, *, wait: bool) -> bool:
        """Takes a lock among all servers until the end of a transaction.

        Returns False if another one has it, and `wait` is not set.
        """
        if not self.is_shared:  # the transaction itself is the lock
            return True
        if wait:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
            return True
        take = sa.select(sa.func.pg_try_advisory_xact_lock(number))
        return bool(connection.scalar(take))

    def connect_arguments(self) -> dict[str, Any] | None:
        """Returns the keyword arguments of psycopg's own connections; None if another
        driver is used."""
        if f"{self._engine.dialect.name}+{self._engine.driver}" != POSTGRESQL:
            return None
        _, arguments = self._engine.dialect.create_connect_args(self._engine.url)
        return dict(arguments)

    def _wait_and_migrate(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                with self.write() as connection:
                    return migrate(connection)
            except StoreUnavailable:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(LOCK_TIMEOUT)

    def _find_file(self) -> tuple[str, os.stat_result] | None:
        if self._engine.dialect.name != "sqlite":
            return None
        with self.read() as connection:
            [path] = connection.exec_driver_sql(MAIN_FILE).one()
        if not path:
            raise StartError(NO_FILE)
        return os.fsdecode(path), os.stat(path)

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


def _create_engine(url: str | sa.URL) -> sa.Engine:
    url = sa.make_url(url)
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername=POSTGRESQL)
    if url.drivername == POSTGRESQL:
        return _create_postgresql_engine(url)
    if url.get_backend_name() != "sqlite":
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


def _create_postgresql_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(
        url.set(query={**POSTGRESQL_DEFAULTS, **url.query}),
        # PgBouncer gives each transaction another connection to PostgreSQL.
        connect_args={"prepare_threshold": None},
        # A connection that the database has closed meanwhile is replaced.
        pool_pre_ping=True,
        # As many as there are threads: no heartbeat waits for a connection.
        max_overflow=-1,
    )


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
    elif _may_pass(error):
        return StoreUnavailable(
            "The database of jobs is not reachable now; try again later."
        )
    return StoreFailed(f"The database of jobs failed: {text}.")


def _may_pass(error: sa.exc.SQLAlchemyError) -> bool:
    """Tells whether what raised this may succeed a little later."""
    if isinstance(error, sa.exc.OperationalError | sa.exc.TimeoutError):
        return True
    lost = getattr(error, "connection_invalidated", False)
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    return bool(lost) or code == READ_ONLY


def _reason(error: Exception) -> str:
    if isinstance(error, ImportError) and error.name == "psycopg":
        return "psycopg is missing; install deepaas[postgresql]"
    return _text_of(error.__cause__ or error)


def _text_of(error: BaseException) -> str:
    return str(getattr(error, "orig", None) or error)
