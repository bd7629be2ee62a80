"""The store by itself: versions of its tables, and numbers that databases change."""

import contextlib
import dataclasses
import json
import sqlite3
import uuid

import pytest
import sqlalchemy as sa

from deepaas.encoding import JSONText, encode_json
from deepaas.errors import StartError
from deepaas.jobs import store
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
    made.report(stored.uuid, {"step": 5}, Batch(report(5), first, 1))
    assert [r.number for r in made.history(stored.uuid)] == [0, 1, 2, 3, 4, 5]
    made.report(stored.uuid, {"step": 7}, Batch(report(7), [report(6)], 2))
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
    assert made.interrupt() == 1
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
        connection.execute(sa.text("ALTER TABLE jobs ADD COLUMN owner TEXT"))

    with monkeypatch.context() as newer:
        newer.setattr(store, "MIGRATIONS", (add_column,))
        newer.setattr(store, "VERSION", 2)
        made = SQLRecords.in_folder(tmp_path)
        assert made.get(stored.uuid) == stored
        made.close()
        SQLRecords.in_folder(tmp_path).close()  # once is enough
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as database:
        columns = database.execute("SELECT name FROM pragma_table_info('jobs')")
        assert ("owner",) in columns.fetchall()
    with pytest.raises(StartError, match="newer version"):
        SQLRecords.in_folder(tmp_path)
