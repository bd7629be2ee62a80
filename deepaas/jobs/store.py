"""The records of jobs in a database.

All methods block: callers keep them off the event loop.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from deepaas.encoding import JSONText, iso_date
from deepaas.jobs.database import START_TIMEOUT, Database
from deepaas.jobs.notices import CANCEL, JOB, SERVER
from deepaas.jobs.records import (
    INTERRUPTED,
    Job,
    KeyTaken,
    Kind,
    Records,
    RequestKey,
    Status,
)
from deepaas.jobs.tables import JOBS, KEYS, REPORTS, SERVERS
from deepaas.progress import Batch, Report

MAX_CHANGED_AT_ONCE = 500
"""Jobs that are removed or ended by one statement."""

MAX_LISTED_OUTPUT = 65536
"""Characters of JSON; a list leaves out a longer output."""

KEY_DAYS = 1.0
"""Days for which the key of a request gives the same job."""

PRUNE_LOCK = 0x6465657061617302
"""The lock of the server that removes old jobs."""

OPEN = [status.value for status in Status if not status.ended]

_COLUMNS = [JOBS.c[field.name] for field in fields(Job)]


class SQLRecords(Records):
    """The records of jobs in any database that SQLAlchemy knows.

    Waits for up to `timeout` seconds for a database that is locked or not reachable.
    Raises StartError when it cannot be used.
    """

    def __init__(
        self, url: str | sa.URL | Database, timeout: float = START_TIMEOUT
    ) -> None:
        database = url if isinstance(url, Database) else Database(url, timeout)
        self.is_shared = database.is_shared
        self._database = database
        self._read, self._write = database.read, database.write

    @classmethod
    def in_folder(cls, folder: Path) -> "SQLRecords":
        """Returns the records in a folder, in an SQLite database."""
        return cls(Database.in_folder(folder))

    def close(self) -> None:
        """Closes the connections to the database."""
        self._database.close()

    def _notify(self, connection: sa.Connection, word: str, uuid: str) -> None:
        self._database.notify(connection, f"{word} {uuid}")

    # -- records

    def insert(self, job: Job, key: RequestKey | None = None) -> None:
        """Adds a record. Raises KeyTaken if another job has this key."""
        with self._write() as connection:
            if key is not None:
                self._insert_key(connection, job, key)
            connection.execute(JOBS.insert().values(_columns(job)))

    def _insert_key(self, connection: sa.Connection, job: Job, key: RequestKey) -> None:
        now = self._database.now()
        same = _is_key(job.kind, job.model, key.text)
        connection.execute(KEYS.delete().where(same, _is_old(now)))
        values = {"model": job.model, "kind": job.kind.value, "uuid": job.uuid}
        try:
            statement = KEYS.insert().values(**values, **key._asdict(), time=now)
            connection.execute(statement)
        except sa.exc.IntegrityError as error:
            raise KeyTaken("A job with this key exists.") from error

    def find_key(self, kind: Kind, model: str, text: str) -> tuple[str, str] | None:
        """Returns the uuid and the fingerprint of the job with this key, if there is
        one that has not expired."""
        query = sa.select(KEYS.c.uuid, KEYS.c.fingerprint)
        old = _is_old(self._database.now())
        with self._read() as connection:
            found = connection.execute(query.where(_is_key(kind, model, text), ~old))
            row = found.one_or_none()
        return None if row is None else (row.uuid, row.fingerprint)

    def update(self, job: Job) -> bool:
        """Replaces a record; returns False if it has been removed, or has another owner
        or epoch by now."""
        statement = JOBS.update().where(_is_its_own(job)).values(_columns(job))
        with self._write() as connection:
            updated = connection.execute(statement).rowcount
            self._notify(connection, JOB, job.uuid)
        return updated > 0

    def get(self, uuid: str) -> Job | None:
        """Returns a record, None if there is none."""
        with self._read() as connection:
            query = sa.select(*_COLUMNS).where(JOBS.c.uuid == uuid)
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
        columns = [c for c in _COLUMNS if c is not JOBS.c.output]
        length = sa.func.length(JOBS.c.output, type_=sa.Integer)
        small = sa.case((length <= MAX_LISTED_OUTPUT, JOBS.c.output)).label("output")
        query = sa.select(*columns, small, length.label("length")).where(
            JOBS.c.model == model, JOBS.c.kind == kind.value
        )
        if status is not None:
            query = query.where(JOBS.c.status == status.value)
        query = query.order_by(JOBS.c.number.desc()).limit(limit).offset(offset)
        with self._read() as connection:
            return [_job(row) for row in connection.execute(query)]

    def count(self) -> dict[tuple[str, Kind, Status], int]:
        """Returns the number of records by model, kind and status."""
        by = (JOBS.c.model, JOBS.c.kind, JOBS.c.status)
        query = sa.select(*by, sa.func.count()).group_by(*by)
        with self._read() as connection:
            return {
                (model, Kind(kind), Status(status)): number
                for model, kind, status, number in connection.execute(query)
            }

    def still_open(self, uuids: Sequence[str]) -> list[str]:
        """Returns those of these jobs that have not ended."""
        query = sa.select(JOBS.c.uuid).where(JOBS.c.status.in_(OPEN))
        with self._read() as connection:
            found = set(connection.scalars(query))
        return [uuid for uuid in uuids if uuid in found]

    def unknown(self, uuids: Sequence[str]) -> list[str]:
        """Returns those of these jobs that have no record."""
        known: set[str] = set()
        with self._read() as connection:
            for some in _in_parts(uuids):
                query = sa.select(JOBS.c.uuid).where(JOBS.c.uuid.in_(some))
                known.update(connection.scalars(query))
        return [uuid for uuid in uuids if uuid not in known]

    # -- the owners of jobs

    def renew(self, owner: str, name: str) -> dict[str, bool]:
        """Renews the lease of a server, or begins one. Returns its open jobs, and
        whether each has to be cancelled."""
        now = self._database.now()
        renew = SERVERS.update().where(SERVERS.c.owner == owner).values(seen=now)
        begin = SERVERS.insert().values(owner=owner, name=name, started=now, seen=now)
        query = sa.select(JOBS.c.uuid, JOBS.c.cancel).where(
            JOBS.c.status.in_(OPEN), JOBS.c.owner == owner
        )
        with self._write() as connection:
            if not connection.execute(renew).rowcount:
                connection.execute(begin)
            self._notify(connection, SERVER, owner)
            return {uuid: bool(flag) for uuid, flag in connection.execute(query)}

    def adopt(self, owner: str, lease: float, grace: float) -> list[str]:
        """Ends the open jobs of servers that have not renewed their leases for `lease`
        seconds; of all servers but `owner`, if the database is not shared.

        Does nothing in the first `grace` seconds of the database itself: other servers
        may not have reached it yet. Returns the uuids.
        """
        jobs = sa.select(JOBS.c.uuid, JOBS.c.status).where(
            JOBS.c.status.in_(OPEN), JOBS.c.owner != owner
        )
        with self._write() as connection:
            if self.is_shared:
                if connection.scalar(_UPTIME) < grace:
                    return []
                self._remove_dead(connection, lease)
                alive = sa.exists().where(SERVERS.c.owner == JOBS.c.owner)
                jobs = jobs.where(~alive).with_for_update(skip_locked=True)
            rows = connection.execute(jobs).all()
            for status, message in INTERRUPTED.items():
                uuids = [row.uuid for row in rows if row.status == status.value]
                _interrupt(connection, uuids, message)
            for row in rows:
                self._notify(connection, JOB, row.uuid)
        return [row.uuid for row in rows]

    def _remove_dead(self, connection: sa.Connection, lease: float) -> None:
        """Removes servers without a lease: their jobs have no owner then."""
        dead = sa.select(SERVERS.c.owner).where(
            SERVERS.c.seen < self._database.now() - lease
        )
        owners = list(connection.scalars(dead.with_for_update(skip_locked=True)))
        if owners:
            connection.execute(SERVERS.delete().where(SERVERS.c.owner.in_(owners)))

    def give_up(self, uuid: str, owner: str) -> bool:
        """Ends an open job that its owner does not run; returns whether it was open."""
        message = INTERRUPTED[Status.QUEUED]
        its = (JOBS.c.owner == owner, JOBS.c.status.in_(OPEN))
        with self._write() as connection:
            ended = _interrupt(connection, [uuid], message, *its)
            self._notify(connection, JOB, uuid)
        return ended > 0

    def leave(self, owner: str) -> None:
        """Ends the lease of a server, unless it leaves open jobs behind."""
        left = sa.exists().where(JOBS.c.status.in_(OPEN), JOBS.c.owner == owner)
        with self._write() as connection:
            connection.execute(SERVERS.delete().where(SERVERS.c.owner == owner, ~left))

    def request_cancel(self, uuid: str) -> None:
        """Tells the server that runs a job to cancel it."""
        its = (JOBS.c.uuid == uuid, JOBS.c.status.in_(OPEN))
        with self._write() as connection:
            connection.execute(JOBS.update().where(*its).values(cancel=1))
            self._notify(connection, CANCEL, uuid)

    # -- the history of progress

    def report(self, job: Job, progress: dict[str, Any], batch: Batch) -> bool:
        """Stores the latest progress, and adds a batch of reports to the history.

        Returns False as `update` does.
        """
        uuid = job.uuid
        rows = {r.number: r for r in (*batch.history, batch.latest)}
        number, this = REPORTS.c.number, REPORTS.c.uuid == uuid
        old = (number % batch.stride != 0) | (number >= min(rows))
        latest = JOBS.update().where(_is_its_own(job)).values(progress=progress)
        with self._write() as connection:
            if not connection.execute(latest).rowcount:
                return False
            connection.execute(REPORTS.delete().where(this, old))
            new = [{"uuid": uuid, **row._asdict()} for row in rows.values()]
            connection.execute(REPORTS.insert(), new)
            self._notify(connection, JOB, uuid)
        return True

    def history(self, uuid: str) -> list[Report]:
        """Returns the reports in a job's history, oldest first."""
        columns = [REPORTS.c[name] for name in Report._fields]
        query = sa.select(*columns).where(REPORTS.c.uuid == uuid)
        with self._read() as connection:
            rows = connection.execute(query.order_by(REPORTS.c.number))
            return [Report(*row) for row in rows]

    # -- the removal of jobs

    def remove(self, uuids: Sequence[str]) -> int:
        """Removes records with their history; returns how many there were."""
        removed = 0
        for some in _in_parts(uuids):
            with self._write() as connection:
                removed += _remove(connection, some)
        return removed

    def prune(
        self, keep: int, since: str, remove: Callable[[Sequence[str]], None]
    ) -> bool:
        """Removes the expired jobs, and keys of requests; `remove` removes the files
        of jobs before their records. Returns False if another server does so now."""
        more = self._has_expired(keep, since)
        while more:
            with self._write() as connection:
                if not self._database.lock(connection, PRUNE_LOCK, wait=False):
                    return False
                now = self._database.now()
                connection.execute(KEYS.delete().where(_is_old(now)))
                expired = _expired(connection, keep, since)
                some = expired[:MAX_CHANGED_AT_ONCE]
                remove(some)
                _remove(connection, some)
                more = len(expired) > len(some)
        return True

    def _has_expired(self, keep: int, since: str) -> bool:
        old = sa.select(KEYS.c.text).where(_is_old(self._database.now())).limit(1)
        with self._read() as connection:
            if connection.execute(old).first() is not None:
                return True
            return bool(_expired(connection, keep, since))

    def expired(self, keep: int, since: str) -> Sequence[str]:
        """Returns the uuids of the jobs that are too many or too old."""
        with self._read() as connection:
            return _expired(connection, keep, since)


_UPTIME = sa.text(
    "SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float"
)
"""Asks PostgreSQL for how many seconds it has run."""


def _is_its_own(job: Job) -> sa.ColumnElement[bool]:
    """Returns the condition that the owner of a job still has it."""
    return sa.and_(
        JOBS.c.uuid == job.uuid,
        JOBS.c.owner == job.owner,
        JOBS.c.epoch == job.epoch,
    )


def _is_key(kind: Kind, model: str, text: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        KEYS.c.model == model, KEYS.c.kind == kind.value, KEYS.c.text == text
    )


def _is_old(now: sa.ColumnElement[float]) -> sa.ColumnElement[bool]:
    return KEYS.c.time < now - KEY_DAYS * 24 * 3600


def _in_parts(uuids: Sequence[str]) -> list[Sequence[str]]:
    size = MAX_CHANGED_AT_ONCE
    return [uuids[start : start + size] for start in range(0, len(uuids), size)]


def _interrupt(
    connection: sa.Connection,
    uuids: Sequence[str],
    message: str,
    *conditions: sa.ColumnElement[bool],
) -> int:
    """Ends jobs whose server has ended, and takes them from their owner."""
    values = {
        "status": Status.ERROR.value,
        "message": message,
        "finish_date": iso_date(time.time()),
        "epoch": JOBS.c.epoch + 1,
    }
    return sum(
        connection.execute(
            JOBS.update().where(JOBS.c.uuid.in_(some), *conditions).values(values)
        ).rowcount
        for some in _in_parts(uuids)
    )


def _remove(connection: sa.Connection, uuids: Sequence[str]) -> int:
    # The rows are locked first: their owner adds no more reports.
    lock = sa.select(JOBS.c.uuid).where(JOBS.c.uuid.in_(uuids))
    connection.execute(lock.order_by(JOBS.c.number).with_for_update())
    for table in (REPORTS, KEYS):
        connection.execute(table.delete().where(table.c.uuid.in_(uuids)))
    return connection.execute(JOBS.delete().where(JOBS.c.uuid.in_(uuids))).rowcount


def _expired(connection: sa.Connection, keep: int, since: str) -> list[str]:
    ended = JOBS.c.status.in_([s.value for s in Status if s.ended])
    query = sa.select(JOBS.c.uuid).where(ended)
    # Early versions did not store when an interrupted job had ended.
    end = sa.func.coalesce(JOBS.c.finish_date, JOBS.c.date)
    found: list[str] = []
    if keep:
        # No index knows the end: nothing is sorted while there are few.
        count = sa.select(sa.func.count()).select_from(JOBS).where(ended)
        beyond = connection.execute(count).scalar_one() - keep
        if beyond > 0:
            first = query.order_by(end, JOBS.c.number).limit(beyond)
            found += connection.scalars(first)
    if since:
        # A job that ended before this date also began before it, and an index finds
        # those.
        found += connection.scalars(query.where(JOBS.c.date < since, end < since))
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
