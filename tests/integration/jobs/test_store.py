"""The store by itself: versions of its tables, and numbers that databases change."""

import contextlib
import dataclasses
import json
import sqlite3
import sys
import uuid

import pytest
import sqlalchemy as sa

from deepaas.encoding import JSONText, encode_json
from deepaas.errors import StartError
from deepaas.jobs import tables
from deepaas.jobs.records import Job, Kind, Status
from deepaas.jobs.store import SQLRecords
from deepaas.progress import Batch, Report

DATE = "2026-11-24T12:00:00.000+00:00"


def job(**values):
    made = {"uuid": uuid.uuid4().hex, "kind": Kind.TRAIN, "model": "m", "date": DATE}
    return Job(**{**made, "args": {}, **values})


@pytest.mark.parametrize(
    "output",
    [
        *(1, 1.5, "1", "1e3", "null", 2**70, True, [], {}, "", "\0 \ud800", None),
        {"a": [1, None, "ä", 0.1]},
    ],
)
def test_what_is_stored_is_what_comes_back(tmp_path, output):
    made = SQLRecords.in_folder(tmp_path)
    text = JSONText(encode_json(output).decode())
    stored = job(status=Status.DONE, output=text, progress={"step": 2**70})
    made.insert(stored)
    assert made.get(stored.uuid) == stored
    assert made.find(Kind.TRAIN, "m") == [stored]
    assert json.loads(encode_json({"output": text}))["output"] == output
    both = {"output": text, "big": 2**70}  # what the fast encoder does not take
    assert json.loads(encode_json(both))["output"] == output
    made.close()


def test_the_history_is_thinned_and_ends_with_the_latest(tmp_path):
    made = SQLRecords.in_folder(tmp_path)
    stored = job()
    made.insert(stored)

    def report(number):
        return Report(number, 1.0, number, None, {"loss": float("nan")})

    first = [report(number) for number in range(5)]
    made.report(stored, {"step": 5}, Batch(report(5), first, 1))
    assert [r.number for r in made.history(stored.uuid)] == [0, 1, 2, 3, 4, 5]
    made.report(stored, {"step": 7}, Batch(report(7), [report(6)], 2))
    assert [r.number for r in made.history(stored.uuid)] == [0, 2, 4, 6, 7]
    assert made.history(stored.uuid)[0].metrics == {"loss": None}
    made.remove([stored.uuid])
    assert made.history(stored.uuid) == []
    made.close()


def test_jobs_expire_by_when_they_ended(tmp_path):
    made = SQLRecords.in_folder(tmp_path)

    def ended(began, end=None, status=Status.DONE):
        one = job(date=f"2026-11-{began}", finish_date=end and f"2026-11-{end}")
        made.insert(dataclasses.replace(one, status=status))
        return one.uuid

    long = ended("01", "09")
    short = [ended("02", "03"), ended("03", "04"), ended("05", "05")]
    undated = ended("04", status=Status.ERROR)
    assert made.expired(0, "") == []
    assert made.expired(5, "2026-11-01") == []
    assert made.expired(3, "") == short[:2]
    assert made.expired(1, "") == [*short[:2], undated, short[2]]
    assert set(made.expired(0, "2026-11-04")) == {short[0]}
    assert set(made.expired(0, "2026-11-06")) == {*short, undated}
    assert set(made.expired(4, "2026-11-04")) == {short[0]}
    left = job(date="2026-11-01", status=Status.RUNNING)
    made.insert(left)
    assert made.adopt("", 0, 0) == []  # it is its own
    assert made.adopt("another", 0, 0) == [left.uuid]
    assert made.get(left.uuid).finish_date > "2026-11"
    assert long not in made.expired(2, "")
    assert left.uuid not in made.expired(1, "2026-11-10")
    made.close()


def test_an_older_version_is_migrated_and_a_newer_one_refused(tmp_path, monkeypatch):
    made = SQLRecords.in_folder(tmp_path)
    stored = job()
    made.insert(stored)
    made.close()

    def add_column(connection):
        connection.execute(sa.text("ALTER TABLE jobs ADD COLUMN later TEXT"))

    with monkeypatch.context() as newer:
        newer.setattr(tables, "MIGRATIONS", (*tables.MIGRATIONS, add_column))
        newer.setattr(tables, "VERSION", tables.VERSION + 1)
        made = SQLRecords.in_folder(tmp_path)
        assert made.get(stored.uuid) == stored
        made.close()
        SQLRecords.in_folder(tmp_path).close()  # once is enough
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:
        columns = database.execute("SELECT name FROM pragma_table_info('jobs')")
        assert ("later",) in columns.fetchall()
    with pytest.raises(StartError, match="newer version"):
        SQLRecords.in_folder(tmp_path)


VERSION_1 = """
CREATE TABLE schema_version (version INTEGER);
CREATE TABLE jobs (
    number {serial}, uuid VARCHAR(32) NOT NULL UNIQUE, kind VARCHAR(16) NOT NULL,
    model VARCHAR(255) NOT NULL, date VARCHAR(40) NOT NULL, args TEXT NOT NULL,
    status VARCHAR(16) NOT NULL, message TEXT, progress TEXT, output TEXT,
    finish_date VARCHAR(40), duration FLOAT, reply TEXT
);
CREATE TABLE reports (
    uuid VARCHAR(32) NOT NULL, number INTEGER NOT NULL, time FLOAT NOT NULL,
    step TEXT, total TEXT, metrics TEXT NOT NULL, PRIMARY KEY (uuid, number)
);
INSERT INTO schema_version VALUES (1);
INSERT INTO jobs (uuid, kind, model, date, args, status)
    VALUES ('one', 'train', 'm', '2026-11-24', '{{"n": 1}}', 'running');
INSERT INTO reports VALUES ('one', 0, 1.5, '0', null, '{{}}');
"""
"""A database as version 2.7 of the server has made it; without its indexes."""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_the_tables_of_2_7_are_migrated(request, tmp_path, database):
    if database == "sqlite":
        url, serial = f"sqlite:///{tmp_path / 'x'}", "INTEGER PRIMARY KEY AUTOINCREMENT"
    else:
        url, serial = request.getfixturevalue("database_url"), "SERIAL PRIMARY KEY"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in VERSION_1.format(serial=serial).split(";")[:-1]:
            connection.exec_driver_sql(statement)
    engine.dispose()
    with contextlib.closing(SQLRecords(url)) as made:
        old = made.get("one")
        assert (old.status, old.args, old.owner) == (Status.RUNNING, {"n": 1}, "")
        assert [report.time for report in made.history("one")] == [1.5]
        made.renew("me", "name")
        assert made.adopt("me", 60, 0) == ["one"]
        new = job(owner="me")
        made.insert(new)
        assert [j.uuid for j in made.find(Kind.TRAIN, "m")] == [new.uuid, "one"]


def test_a_missing_driver_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StartError, match=r"deepaas\[postgresql\]"):
        SQLRecords("postgresql://127.0.0.1/x")
