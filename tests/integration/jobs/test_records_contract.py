"""The contract of `Records`: every class that keeps records passes these tests.

Another class joins by its factory in FACTORIES.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import uuid

import pytest

from deepaas.encoding import JSONText
from deepaas.errors import StartError, StoreFailed, StoreUnavailable
from deepaas.jobs.records import (
    Kind,
    Outcome,
    SavedError,
    SavedReply,
    Status,
    new_job,
)
from deepaas.jobs.store import SQLRecords
from deepaas.progress import Batch, Report

POSTGRESQL = os.environ.get("DEEPAAS_TEST_POSTGRESQL", "")
"""The URL of a database for these tests alone; they remove all jobs in it."""


def sqlite(folder):
    return SQLRecords.in_folder(folder)


def postgresql(folder):
    return SQLRecords(POSTGRESQL)


FACTORIES = [sqlite, *([postgresql] if POSTGRESQL else [])]


@pytest.fixture(params=FACTORIES)
def make(request, tmp_path):
    """Makes records that are all of one database, and closes them."""
    with contextlib.ExitStack() as closing:

        def records():
            return closing.enter_context(contextlib.closing(request.param(tmp_path)))

        yield records
        kept = records()
        kept.remove([job.uuid for job in everything(kept)])


@pytest.fixture
def records(make):
    return make()


def everything(records):
    return [
        job for model, kind, _ in records.count() for job in records.find(kind, model)
    ]


def train(**values):
    return dataclasses.replace(new_job(Kind.TRAIN, "m", {}), **values)


def report(number, **metrics):
    return Report(number, 1.0, number, None, metrics)


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Status.DONE, output=JSONText('{"a": [1, 1e3, null, "\\u0000ä"]}')),
        Outcome(Status.DONE, reply=SavedReply("image/png", "a.png", True)),
        Outcome(Status.DONE, reply=SavedReply("text/plain", None, False)),
        Outcome(Status.ERROR, "no", reply=SavedError(503, "n", {"Retry-After": "1"})),
        Outcome(Status.CANCELLED),
    ],
)
def test_a_record_comes_back_as_it_was(records, outcome):
    job = train(args={"n": 2**70, "ä": [None, "☺"]}, progress={"step": 0.1})
    records.insert(job)
    assert records.get(job.uuid) == job
    ended = job.finished(outcome, 1.23456)
    records.update(ended)
    assert records.get(job.uuid) == ended
    assert records.find(Kind.TRAIN, "m") == [ended]
    assert ended.duration == 1.235


def test_a_uuid_is_used_once(records):
    job = train()
    records.insert(job)
    with pytest.raises(StoreFailed):
        records.insert(job)
    assert records.find(Kind.TRAIN, "m") == [job]


def test_what_does_not_exist(records):
    missing = uuid.uuid4().hex
    assert records.get(missing) is None
    assert records.find(Kind.TRAIN, "m") == []
    assert records.history(missing) == []
    assert records.remove([missing]) == 0
    assert records.remove([]) == 0
    records.update(train())
    records.report(missing, {"step": 1}, Batch(report(1), [], 1))
    assert records.history(missing) == []
    assert records.count() == {}


def test_a_list_is_newest_first_by_kind_model_and_status(records):
    jobs = [train() for _ in range(5)]
    for job in jobs:
        records.insert(job)
    records.insert(train(model="n"))
    records.insert(train(kind=Kind.PREDICT))
    ended = dataclasses.replace(jobs[2], status=Status.DONE)
    records.update(ended)
    newest = [jobs[4], jobs[3], ended, jobs[1], jobs[0]]
    assert records.find(Kind.TRAIN, "m") == newest
    assert records.find(Kind.TRAIN, "m", limit=2, offset=1) == newest[1:3]
    assert records.find(Kind.TRAIN, "m", offset=4) == newest[4:]
    assert records.find(Kind.TRAIN, "m", limit=0) == []
    assert records.find(Kind.TRAIN, "m", status=Status.DONE) == [ended]
    assert records.count() == {
        ("m", Kind.TRAIN, Status.QUEUED): 4,
        ("m", Kind.TRAIN, Status.DONE): 1,
        ("n", Kind.TRAIN, Status.QUEUED): 1,
        ("m", Kind.PREDICT, Status.QUEUED): 1,
    }


def test_a_list_leaves_out_large_outputs(records):
    large = JSONText(json.dumps("x" * 100_000))
    job = train(status=Status.DONE, output=large)
    records.insert(job)
    [listed] = records.find(Kind.TRAIN, "m")
    assert json.loads(listed.output.text).startswith("(large: 100002 characters")
    assert records.get(job.uuid).output == large


def test_metrics_of_any_name_are_kept_apart(records):
    job = train()
    records.insert(job)
    metrics = {"date": 1.0, "step": 2.0, "total": 3.0, "uuid": 4.0, "metrics": None}
    progress = {"step": 0, "total": None, "metrics": metrics, "date": job.date}
    records.report(job.uuid, progress, Batch(report(0, **metrics), [], 1))
    assert records.history(job.uuid) == [report(0, **metrics)]
    assert records.get(job.uuid).progress == progress


def test_the_same_reports_twice(records):
    job = train()
    records.insert(job)
    for latest, history, stride in [
        (2, [0, 1, 2], 1),
        (2, [0, 1, 2], 1),
        (5, [3, 4], 1),
        (7, [6], 2),
    ]:
        batch = Batch(report(latest), [report(n) for n in history], stride)
        records.report(job.uuid, {"step": latest}, batch)
    assert [r.number for r in records.history(job.uuid)] == [0, 2, 4, 6, 7]
    assert records.get(job.uuid).progress == {"step": 7}
    assert records.remove([job.uuid]) == 1
    assert records.history(job.uuid) == []


def test_open_jobs_are_interrupted(records, make):
    jobs = [train(status=status) for status in Status]
    for job in jobs:
        records.insert(job)
    records.close()
    records = make()
    assert records.interrupt() == 2
    assert records.interrupt() == 0
    for job in jobs:
        now = records.get(job.uuid)
        if job.status.ended:
            assert now == job
        else:
            assert now.status is Status.ERROR
            assert now.message.startswith("interrupted: ")
            assert now.finish_date >= job.date


def test_many_are_removed(records):
    jobs = [train() for _ in range(1100)]
    for job in jobs:
        records.insert(job)
    assert records.remove([job.uuid for job in jobs[:1050]]) == 1050
    assert len(records.find(Kind.TRAIN, "m")) == 50


def test_jobs_expire_in_the_order_of_their_ends(records):
    dates = ["2026-11-05", "2026-11-03", "2026-11-04"]
    jobs = [train(status=Status.DONE, finish_date=d, date="2026-11-01") for d in dates]
    for job in [*jobs, train(date="2026-11-01")]:
        records.insert(job)
    first, second, third = jobs[1].uuid, jobs[2].uuid, jobs[0].uuid
    assert records.expired(0, "") == []
    assert records.expired(3, "") == []
    assert records.expired(1, "") == [first, second]
    assert set(records.expired(0, "2026-11-05")) == {first, second}
    assert set(records.expired(2, "2026-11-06")) == {first, second, third}


def test_several_processes_open_a_new_database_at_once(request, tmp_path, make):
    shared = "postgresql" in request.node.callspec.id
    url = POSTGRESQL if shared else f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    code = (
        "import sys; from deepaas.jobs.store import SQLRecords\n"
        "print(flush=True); sys.stdin.readline(); SQLRecords(sys.argv[1]).close()"
    )
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, url], stdin=pipe, stdout=pipe, stderr=pipe
        )
        for _ in range(4)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, b"")
    job = train()
    made = make()
    made.insert(job)
    assert made.get(job.uuid) == job


# -- SQLite alone


@pytest.fixture
def in_sqlite(tmp_path):
    with contextlib.closing(sqlite(tmp_path)) as records:
        yield records


def test_a_lock_refuses_writes_and_lets_reads_through(in_sqlite, tmp_path):
    job = train()
    in_sqlite.insert(job)
    with contextlib.closing(sqlite(tmp_path)) as other, other._write():
        assert in_sqlite.get(job.uuid) == job
        assert in_sqlite.find(Kind.TRAIN, "m") == [job]
        with pytest.raises(StoreUnavailable, match="locked") as refused:
            in_sqlite.insert(train())
    assert refused.value.status == 503
    assert int(refused.value.headers["Retry-After"]) > 0
    in_sqlite.insert(train())


def test_a_lock_that_lasts_refuses_the_start(in_sqlite, tmp_path):
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    with in_sqlite._write(), pytest.raises(StartError, match="database is locked"):
        SQLRecords(url, timeout=0.5)


def test_a_full_disk(in_sqlite):
    with in_sqlite._read() as connection:
        [pages] = connection.exec_driver_sql("PRAGMA page_count").one()
    # The limit is the connection's, and the pool has one.
    with in_sqlite._read() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Exception, match="no space") as full:
        in_sqlite.insert(train(args={"long": "x" * 100_000}))
    assert full.value.status == 507
    in_sqlite.insert(train())


def test_a_removed_file(in_sqlite, tmp_path):
    job = train()
    in_sqlite.insert(job)
    file = tmp_path / "jobs.sqlite"
    away = file.rename(tmp_path / "away")
    for call in (
        lambda: in_sqlite.insert(train()),
        lambda: in_sqlite.get(job.uuid),
        lambda: in_sqlite.interrupt(),
    ):
        with pytest.raises(StoreFailed, match="removed or replaced"):
            call()
    away.rename(file)
    assert in_sqlite.get(job.uuid) == job
