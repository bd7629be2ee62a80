"""The tables of jobs, and the steps from older versions of them to the present one."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from deepaas.encoding import JSONText, encode_json
from deepaas.errors import StartError
from deepaas.jobs.records import reply_from_data, reply_to_data

MIGRATION_LOCK = 0x6465657061617301
"""The advisory lock in PostgreSQL of the server that changes the tables."""

METADATA = sa.MetaData()

VERSIONS = sa.Table("schema_version", METADATA, sa.Column("version", sa.Integer))


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


JOBS = sa.Table(
    "jobs",
    METADATA,
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
    # from version 2 on
    sa.Column("owner", sa.String(32), nullable=False, server_default=""),
    sa.Column("epoch", sa.Integer, nullable=False, server_default="0"),
    sa.Column("cancel", sa.Integer, nullable=False, server_default="0"),
    sa.Index("jobs_listed", "model", "kind", "number"),
    sa.Index("jobs_listed_by_status", "model", "kind", "status", "number"),
    sa.Index("jobs_by_status", "status", "number"),
    # Numbers are never used twice: they are the order of the jobs.
    sqlite_autoincrement=True,
)

REPORTS = sa.Table(
    "reports",
    METADATA,
    sa.Column("uuid", sa.String(32), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("step", _JSON),
    sa.Column("total", _JSON),
    sa.Column("metrics", _JSON, nullable=False),
)

# The tables below are of version 2. Times are seconds since the epoch.

SERVERS = sa.Table(
    "servers",
    METADATA,
    sa.Column("owner", sa.String(32), primary_key=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("started", sa.Float, nullable=False),
    sa.Column("seen", sa.Float, nullable=False),
)

KEYS = sa.Table(
    "request_keys",
    METADATA,
    sa.Column("model", sa.String(255), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("text", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("uuid", sa.String(32), nullable=False, index=True),
    sa.Column("time", sa.Float, nullable=False, index=True),
)

FILES = sa.Table(
    "files",
    METADATA,
    sa.Column("uuid", sa.String(32), primary_key=True),
    sa.Column("part", sa.String(16), primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)


@sa.event.listens_for(FILES, "after_create")
def _store_uncompressed(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    """Lets PostgreSQL read a part of a value without the rest."""
    if connection.dialect.name == "postgresql":
        statement = "ALTER TABLE files ALTER COLUMN data SET STORAGE EXTERNAL"
        connection.execute(sa.text(statement))


def _add_owners(connection: sa.Connection) -> None:
    for column in (
        "owner VARCHAR(32) DEFAULT '' NOT NULL",
        "epoch INTEGER DEFAULT 0 NOT NULL",
        "cancel INTEGER DEFAULT 0 NOT NULL",
    ):
        connection.execute(sa.text(f"ALTER TABLE jobs ADD COLUMN {column}"))
    METADATA.create_all(connection, [SERVERS, KEYS, FILES])


MIGRATIONS: Sequence[Callable[[sa.Connection], None]] = (_add_owners,)
"""The first leads from version 1 of the tables to version 2, and so on."""

VERSION = len(MIGRATIONS) + 1


def migrate(connection: sa.Connection) -> None:
    """Brings the tables to the present version, if no other server does so now."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    # In SQLite the transaction holds the lock.
    METADATA.create_all(connection, [VERSIONS])
    version = connection.scalar(sa.select(VERSIONS.c.version))
    if version == VERSION:
        return
    if version is None:
        METADATA.create_all(connection)
    elif version > VERSION:
        message = "the database of jobs was written by a newer version of deepaas"
        raise StartError(message)
    else:
        for step in MIGRATIONS[version - 1 :]:
            step(connection)
    connection.execute(VERSIONS.delete())
    connection.execute(VERSIONS.insert().values(version=VERSION))
