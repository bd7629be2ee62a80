"""The contract of `Records`: every class that keeps records passes these tests.

Another database joins by its address in `url`.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import subprocess
import sys
import threading
import time
import uuid

import pytest

from deepaas.encoding import JSONText
from deepaas.errors import StartError, StoreFailed, StoreUnavailable
from deepaas.jobs import store
from deepaas.jobs.records import (
    KeyTaken,
    Kind,
    Outcome,
    RequestKey,
    SavedError,
    SavedReply,
    Status,
    new_job,
)
from deepaas.jobs.store import SQLRecords
from deepaas.progress import Batch, Report
from tests.server import wait_until


def sqlite(folder):
    return SQLRecords.in_folder(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of a new database."""
    if request.param == "postgresql":
        return request.getfixturevalue("database_url")
    return f"sqlite:///{tmp_path / 'jobs.sqlite'}"


@pytest.fixture
def make(url):
    """Makes records that are all of one database, and closes them."""
    with contextlib.ExitStack() as closing:
        yield lambda: closing.enter_context(contextlib.closing(SQLRecords(url)))


@pytest.fixture
def records(make):
    return make()


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
    unknown = train()
    assert not records.update(unknown)
    assert not records.report(unknown, {"step": 1}, Batch(report(1), [], 1))
    assert records.history(unknown.uuid) == []
    assert records.unknown([missing]) == [missing]
    assert records.still_open([missing]) == []
    assert records.find_key(Kind.TRAIN, "m", "key") is None
    assert not records.give_up(missing, "")
    records.request_cancel(missing)
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
    records.report(job, progress, Batch(report(0, **metrics), [], 1))
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
        records.report(job, {"step": latest}, batch)
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
    adopted = records.adopt("another", 0, 0)
    assert sorted(adopted) == sorted(j.uuid for j in jobs if not j.status.ended)
    assert records.adopt("another", 0, 0) == []
    for job in jobs:
        now = records.get(job.uuid)
        if job.status.ended:
            assert now == job
        else:
            assert now.status is Status.ERROR
            assert now.message.startswith("interrupted: ")
            assert now.finish_date >= job.date
            assert now.epoch == 1


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


def test_several_processes_open_a_new_database_at_once(url, make):
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


def test_two_open_a_new_database_at_once_20_times(postgresql):
    for _ in range(20):
        with postgresql.database() as name:
            ready, url = threading.Barrier(2), postgresql.url(name)

            def make(_, ready=ready, url=url):
                ready.wait()
                return SQLRecords(url)

            with concurrent.futures.ThreadPoolExecutor() as threads:
                one, other = threads.map(make, range(2))
            job = train()
            one.insert(job)
            assert other.get(job.uuid) == job
            version = postgresql.execute("SELECT * FROM schema_version", name)
            assert len(version) == 1
            one.close()
            other.close()


# -- owners


def test_only_the_owner_of_a_job_changes_it(records):
    job = train(owner="one", status=Status.RUNNING)
    records.insert(job)
    batch = Batch(report(1), [], 1)
    for other in (
        dataclasses.replace(job, owner="two"),
        dataclasses.replace(job, epoch=1),
    ):
        assert not records.update(other.finished(Outcome(Status.DONE), 1))
        assert not records.report(other, {"step": 1}, batch)
    assert records.get(job.uuid) == job
    assert records.history(job.uuid) == []
    assert records.report(job, {"step": 1}, batch)
    assert records.update(job.finished(Outcome(Status.DONE), 1))


def test_an_interrupted_job_has_lost_its_owner(records):
    job = train(owner="one", status=Status.RUNNING)
    records.insert(job)
    assert records.adopt("two", 0, 0) == [job.uuid]
    ended = records.get(job.uuid)
    assert not records.update(job.finished(Outcome(Status.DONE), 1))
    assert not records.report(job, {"step": 1}, Batch(report(1), [], 1))
    assert not records.give_up(job.uuid, "one")
    assert records.get(job.uuid) == ended


def test_a_job_that_has_not_begun_is_given_up(records):
    job = train(owner="one")
    records.insert(job)
    assert not records.give_up(job.uuid, "two")
    assert records.give_up(job.uuid, "one")
    assert records.get(job.uuid).message.startswith("interrupted: ")


def test_a_renewal_returns_the_open_jobs_and_those_to_cancel(records):
    jobs = [train(owner="one"), train(owner="one", status=Status.RUNNING)]
    for job in [*jobs, train(owner="one", status=Status.DONE), train(owner="two")]:
        records.insert(job)
    first, second = (job.uuid for job in jobs)
    assert records.renew("one", "name") == {first: False, second: False}
    records.request_cancel(second)
    assert records.renew("one", "name") == {first: False, second: True}
    records.update(jobs[1].finished(Outcome(Status.CANCELLED), 1))
    assert records.renew("one", "name") == {first: False}
    assert records.still_open([second, first]) == [first]
    assert records.unknown([second, "0" * 32]) == ["0" * 32]


# -- keys of requests


def test_a_key_belongs_to_one_job(records):
    key = RequestKey("a key", "0" * 64)
    jobs = [train(), train(model="n"), train(kind=Kind.PREDICT)]
    for job in jobs:
        records.insert(job, key)
        assert records.find_key(job.kind, job.model, key.text) == (job.uuid, "0" * 64)
    late = train()
    with pytest.raises(KeyTaken):
        records.insert(late, RequestKey("a key", "1" * 64))
    assert records.get(late.uuid) is None
    records.insert(late, RequestKey("another", "1" * 64))
    records.remove([jobs[0].uuid])
    assert records.find_key(Kind.TRAIN, "m", key.text) is None
    records.insert(train(), key)


@pytest.mark.parametrize("prune", [False, True])
def test_a_key_expires(records, monkeypatch, prune):
    key = RequestKey("a key", "0" * 64)
    first, second = train(), train()
    records.insert(first, key)
    monkeypatch.setattr(store, "KEY_DAYS", -1)
    assert records.find_key(Kind.TRAIN, "m", key.text) is None
    if prune:
        assert records.prune(0, "", lambda uuids: None)
    records.insert(second, key)
    monkeypatch.setattr(store, "KEY_DAYS", 1)
    found, _ = records.find_key(Kind.TRAIN, "m", key.text)
    assert found == second.uuid


def test_two_requests_with_one_key_at_once(make):
    several = [make() for _ in range(4)]
    jobs = [train() for _ in several]
    ready = threading.Barrier(len(several))

    def insert(records, job):
        ready.wait()
        while True:
            try:
                records.insert(job, RequestKey("a key", "0" * 64))
            except StoreUnavailable:  # another thread has locked SQLite
                continue
            except KeyTaken:
                return None
            return job.uuid

    with concurrent.futures.ThreadPoolExecutor() as threads:
        inserted = [uuid for uuid in threads.map(insert, several, jobs) if uuid]
    assert len(inserted) == 1
    assert several[0].find_key(Kind.TRAIN, "m", "a key")[0] == inserted[0]
    assert len(several[0].find(Kind.TRAIN, "m")) == 1


# -- the removal of old jobs


def test_files_are_pruned_before_their_records(records):
    jobs = [train(status=Status.DONE, finish_date=f"2026-11-0{n}") for n in (1, 2, 3)]
    for job in [*jobs, train()]:
        records.insert(job)
    removed = []

    def fail(uuids):
        raise OSError("a broken disk")

    with pytest.raises(OSError, match="broken"):
        records.prune(1, "", fail)
    assert len(records.find(Kind.TRAIN, "m")) == 4
    assert records.prune(1, "", removed.extend)
    assert removed == [job.uuid for job in jobs[:2]]
    assert len(records.find(Kind.TRAIN, "m")) == 2


def test_several_prune_at_once(make):
    several = [make() for _ in range(4)]
    ended = [train(status=Status.DONE, finish_date="2026-11-01") for _ in range(700)]
    for job in ended:
        several[0].insert(job)
        several[0].report(job, {"step": 1}, Batch(report(1), [], 1))
    ready, removed = threading.Barrier(len(several)), []

    def prune(records):
        ready.wait()
        for _ in range(400):
            with contextlib.suppress(StoreUnavailable):
                if records.prune(10, "", removed.extend):
                    return True
            time.sleep(0.05)
        return False

    with concurrent.futures.ThreadPoolExecutor() as threads:
        assert all(threads.map(prune, several))
    left = {job.uuid for job in several[0].find(Kind.TRAIN, "m")}
    assert len(left) == 10
    assert sorted(removed) == sorted({job.uuid for job in ended} - left)
    assert all(several[0].history(uuid) == [] for uuid in removed[:5])


# -- PostgreSQL alone: leases


@pytest.fixture
def two(database_url):
    with (
        contextlib.closing(SQLRecords(database_url)) as one,
        contextlib.closing(SQLRecords(database_url)) as two,
    ):
        yield one, two


def test_a_lease_protects_jobs(two):
    one, other = two
    jobs = {owner: train(owner=owner) for owner in ("one", "two", "nobody")}
    for job in jobs.values():
        one.insert(job)
    one.renew("one", "name")
    other.renew("two", "name")
    assert other.adopt("two", 60, 0) == [jobs["nobody"].uuid]
    assert one.adopt("one", 60, 0) == []
    other.leave("two")  # it leaves a job behind
    assert one.adopt("one", 60, 0) == []
    one.give_up(jobs["two"].uuid, "two")
    other.leave("two")
    assert one.get(jobs["one"].uuid).status is Status.QUEUED


def test_a_lease_that_has_ended(two):
    one, other = two
    job = train(owner="one")
    one.insert(job)
    one.renew("one", "name")
    other.renew("two", "name")
    wait_until(lambda: other.adopt("two", 0.2, 0) == [job.uuid])
    # The server that was only slow begins a new lease, without its job.
    assert one.renew("one", "name") == {}
    later = train(owner="one")
    one.insert(later)
    assert other.adopt("two", 60, 0) == []
    assert one.renew("one", "name") == {later.uuid: False}


def test_no_owner_is_dead_soon_after_the_start_of_postgresql(two):
    one, other = two
    one.insert(train(owner="one"))
    assert other.adopt("two", 0, 1e6) == []  # it may have run for hours
    assert len(other.adopt("two", 0, 0)) == 1


def test_several_adopt_at_once(two, database_url):
    one, _ = two
    for _ in range(200):
        one.insert(train(owner="dead", status=Status.RUNNING))
    ready = threading.Barrier(4)

    def adopt(number):
        with contextlib.closing(SQLRecords(database_url)) as records:
            records.renew(f"owner {number}", "name")
            ready.wait()
            return len(records.adopt(f"owner {number}", 60, 0))

    with concurrent.futures.ThreadPoolExecutor() as threads:
        adopted = list(threads.map(adopt, range(4)))
    # Rows that another one holds are skipped: it ends them.
    assert sum(adopted) == 200
    assert one.count() == {("m", Kind.TRAIN, Status.ERROR): 200}


def test_a_lost_connection_is_made_again(two, postgresql):
    one, _ = two
    job = train()
    one.insert(job)
    postgresql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname LIKE 'test_%'"
    )
    assert one.get(job.uuid) == job


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
        lambda: in_sqlite.adopt("", 0, 0),
    ):
        with pytest.raises(StoreFailed, match="removed or replaced"):
            call()
    away.rename(file)
    assert in_sqlite.get(job.uuid) == job
