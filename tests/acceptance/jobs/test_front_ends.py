"""Two real servers that share a PostgreSQL: any of them answers for any job."""

import concurrent.futures
import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.jobs.conftest import (
    ASYNC,
    MODEL,
    PREDICT,
    TRAIN,
    at_once,
    events,
    get,
    log,
    predict_later,
    start,
    step,
    until,
)
from tests.conftest import Serve
from tests.server import MODELS, command_line, wait_until

LEASE = 3
"""Seconds; the shortest with which a busy machine does not lose a living server."""

ENDED = ("done", "error", "cancelled")
INTERRUPTED = "interrupted: the server ended while it ran"


@pytest.fixture(params=["database", "folder"])
def options(request, database_url, tmp_path):
    """The options of servers that share their jobs, with each place of files."""
    shared = ("--model", MODEL, "--database-url", database_url, "--train-workers", "2")
    if request.param == "folder":
        shared = (*shared, "--files-dir", tmp_path / "files")
    return (*shared, "--server-lease", str(LEASE))


@pytest.fixture
def in_database(database_url):
    return (
        *("--model", MODEL, "--database-url", database_url, "--train-workers", "2"),
        *("--server-lease", str(LEASE)),
    )


def begin(server, folder, steps=2, **params):
    """Begins a training that waits for steps."""
    job = start(server, steps=steps, folder=folder, **params)
    until(server, job, "running")
    return job


def same(servers, path):
    """Waits until all servers give the same answer, and returns it."""
    answers = []

    def equal():
        answers[:] = [server.get(path).text for server in servers]
        return len(set(answers)) == 1

    wait_until(equal)
    return servers[0].get(path)


def rows(postgresql, url, statement):
    return postgresql.execute(statement, url.rpartition("/")[2])


# -- any server answers for any job


def test_any_server_answers_for_a_training(serve: Serve, options, tmp_path):
    a = serve(*options)
    job = begin(a, tmp_path)
    b = serve(*options)  # its start leaves the job alone
    assert get(a, job)["status"] == get(b, job)["status"] == "running"
    with (
        concurrent.futures.ThreadPoolExecutor() as threads,
        events(b, job) as happens,
    ):
        assert next(happens)[1]["status"] == "running"
        followed = [
            threads.submit(server.get, f"{TRAIN}/{job}/log?follow=1")
            for server in (a, b)
        ]
        step(tmp_path, 1)
        name, progress = next(happens)
        assert (name, progress["step"]) == ("progress", 1)
        wait_until(lambda: "step 1\n" in log(b, job))
        assert "step 1\n" in same([a, b], f"{TRAIN}/{job}/log").text
        assert same([a, b], f"{TRAIN}/{job}/metrics").json()["step"] == [1]
        step(tmp_path, 2)
        *_, (name, last) = happens
        assert (name, last["status"]) == ("status", "done")
        assert {answer.result().text for answer in followed} == {"step 1\nstep 2\n"}
    for path in (f"{TRAIN}/{job}", f"{TRAIN}/{job}/metrics", TRAIN):
        assert a.get(path).json() == b.get(path).json()
    assert a.delete(f"{TRAIN}/{job}").status_code == 204
    assert b.get(f"{TRAIN}/{job}").status_code == 404


def test_any_server_has_a_result(serve: Serve, options, tmp_path):
    a, b = serve(*options), serve(*options)
    job = predict_later(a, params={"folder": tmp_path})
    until(a, job, "running", path=PREDICT)
    assert b.get(f"{PREDICT}/{job}/result").status_code == 202
    Path(tmp_path, "go").touch()
    for server in (a, b):
        until(server, job, "done", path=PREDICT)
    whole = b.get(f"{PREDICT}/{job}/result")
    assert whole.content == a.get(f"{PREDICT}/{job}/result").content
    assert whole.content == b"\x89PNG" * 1000
    part = b.get(f"{PREDICT}/{job}/result", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")
    refused = predict_later(a, params={"fail": True})
    until(b, refused, "error", path=PREDICT)
    assert b.get(f"{PREDICT}/{refused}/result").status_code == 409


def test_a_stream_and_a_large_file_are_results(serve: Serve, database_url, tmp_path):
    options = ("--database-url", database_url, "--model")
    a = serve(*options, f"m={MODELS / 'yields.py'}")
    b = serve(*options, f"m={MODELS / 'yields.py'}")
    job = predict_later(a, params={"items": 3})
    until(b, job, "done", path=PREDICT)
    now = a.post(PREDICT, params={"items": 3})
    assert b.get(f"{PREDICT}/{job}/result").content == now.content


NO_NOTICES = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'LISTEN%'
"""


def test_servers_poll_where_no_notices_come(
    serve: Serve, in_database, database_url, postgresql, tmp_path
):
    a, b = serve(*in_database), serve(*in_database)
    job, other = begin(a, tmp_path), begin(a, tmp_path / "never")
    over = threading.Event()

    def break_connections():
        while not over.wait(0.05):
            rows(postgresql, database_url, NO_NOTICES)

    with concurrent.futures.ThreadPoolExecutor() as threads:
        breaking = threads.submit(break_connections)
        try:
            with events(b, job) as happens:
                next(happens)
                a.wait_for_output("No notices of jobs come")
                step(tmp_path, 1)
                name, progress = next(happens)
                assert (name, progress["step"]) == ("progress", 1)
                step(tmp_path, 2)
                *_, (_, last) = happens
                assert last["status"] == "done"
            answer = b.delete(f"{TRAIN}/{other}")
            assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
            assert log(b, job) == "step 1\nstep 2\n"
        finally:
            over.set()
        breaking.result()


def test_a_job_that_was_stored_but_has_not_begun(
    serve: Serve, in_database, database_url, postgresql
):
    """As after an INSERT whose answer is lost with the connection."""
    a, b = serve(*in_database), serve(*in_database)
    done = until(a, start(a), *ENDED)["uuid"]
    lost = "0" * 32
    columns = "kind, model, date, args, owner, epoch, cancel"
    rows(
        postgresql,
        database_url,
        f"INSERT INTO jobs (uuid, status, {columns}) "
        f"SELECT '{lost}', 'queued', {columns} FROM jobs WHERE uuid = '{done}'",
    )
    assert until(b, lost, *ENDED)["message"].startswith("interrupted: ")
    assert get(a, done)["status"] == "done"
    a.wait_for_output(f"{lost} was stored, but has not begun")


# -- cancel


@pytest.mark.alone
def test_a_job_is_cancelled_by_another_server(serve: Serve, options, tmp_path):
    a, b = serve(*options), serve(*options)
    running = begin(a, tmp_path, child=True)
    wait_until(lambda: "stray" in log(a, running))
    children = [int(line.split()[1]) for line in log(a, running).splitlines()]
    queued = [start(a, steps=1, folder=tmp_path) for _ in range(2)][-1]
    for job in (running, queued):
        began = time.monotonic()
        answer = b.delete(f"{TRAIN}/{job}")
        assert time.monotonic() - began < 1
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        # The server that ran it shows its end after it is stored.
        assert until(a, job, "cancelled") == get(b, job) == answer.json()
    wait_until(lambda: not any(map(psutil.pid_exists, children)), timeout=2)
    assert b.delete(f"{TRAIN}/{running}").status_code == 204
    assert a.delete(f"{TRAIN}/{running}").status_code == 404


def test_all_servers_cancel_and_remove_at_once(serve: Serve, in_database, tmp_path):
    servers = [serve(*in_database) for _ in range(2)]
    job = begin(servers[0], tmp_path)
    path = f"{TRAIN}/{job}"
    cancelled = at_once(lambda s: s.delete(path).status_code, *servers, *servers)
    assert set(cancelled) <= {200, 204, 404}
    assert 200 in cancelled
    for server in servers:
        server.delete(path)
        assert server.get(path).status_code == 404


# -- the end of a server


@pytest.mark.alone
def test_the_jobs_of_a_killed_server_are_interrupted_once(
    serve: Serve, options, tmp_path
):
    a, b = serve(*options), serve(*options)
    job, others = begin(a, tmp_path), begin(b, tmp_path)
    queued = [start(a, steps=2, folder=tmp_path) for _ in range(2)][-1]
    step(tmp_path, 1)
    wait_until(lambda: "step 1\n" in log(b, job))
    wait_until(lambda: get(b, job).get("progress") is not None)
    with events(b, job) as happens:
        next(happens)
        a.kill()
        died = time.monotonic()
        *_, (_, last) = happens
    assert time.monotonic() - died < LEASE + 10
    assert (last["status"], last["message"]) == ("error", INTERRUPTED)
    a = serve(*options)  # as another owner
    wait_until(lambda: get(b, queued)["status"] == "error")
    ended = get(b, job)
    assert ended["progress"]["step"] == 1
    assert log(a, job) == "step 1\n"
    assert get(a, others)["status"] == "running"
    step(tmp_path, 2)
    assert until(a, others, *ENDED)["status"] == "done"
    assert get(a, job) == get(b, job) == ended


@pytest.mark.alone
def test_a_server_that_was_stopped_for_longer_than_its_lease(
    serve: Serve, options, tmp_path
):
    a, b = serve(*options), serve(*options)
    jobs = [begin(a, tmp_path), begin(a, tmp_path / "never", child=True)]
    wait_until(lambda: "stray" in log(a, jobs[1]))
    os.kill(a.pid, signal.SIGSTOP)
    try:
        for job in jobs:
            assert until(b, job, *ENDED)["message"] == INTERRUPTED
        step(tmp_path, 1)
        step(tmp_path, 2)  # the first one ends in its worker
        ended = [get(b, job) for job in jobs]
    finally:
        os.kill(a.pid, signal.SIGCONT)
    a.wait_for_output(f"{jobs[1]} is lost")
    wait_until(lambda: not any("sleep" in command_line(p) for p in a.family()))
    wait_until(lambda: [get(a, job) for job in jobs] == ended)
    assert [get(b, job) for job in jobs] == ended
    later = start(a)  # it is a server as any other
    assert until(b, later, *ENDED)["status"] == "done"


def test_a_server_that_ends_in_order(serve: Serve, in_database, tmp_path):
    a, b = serve(*in_database), serve(*in_database)
    job = begin(a, tmp_path)
    with events(b, job) as happens:
        next(happens)
        assert a.stop() == 0
        *_, (_, last) = happens
    assert last["message"] == "the server was stopped"
    other = begin(b, tmp_path)
    a = serve(*in_database)
    with events(a, other) as happens:  # this does not keep a server from its end
        next(happens)
        assert a.stop() == 0
    assert get(b, other)["status"] == "running"


# -- PostgreSQL ends


@pytest.mark.alone
def test_postgresql_is_restarted(serve: Serve, in_database, postgresql):
    servers = [serve(*in_database) for _ in range(2)]
    job = start(servers[0])
    until(servers[1], job, "done")
    for _ in range(3):
        postgresql.restart()
        for server in servers:
            for path in (TRAIN, f"{TRAIN}/{job}", f"{TRAIN}/{job}/log", "/metrics"):
                assert server.get(path).status_code == 200
            assert server.post(TRAIN).status_code == 200


@pytest.mark.parametrize(("files", "seconds"), [("database", 20), ("folder", 5)])
def test_postgresql_is_away_for_less_than_a_lease(
    serve: Serve, database_url, postgresql, tmp_path, files, seconds
):
    options = ("--model", MODEL, "--database-url", database_url, "--train-workers=2")
    if files == "folder":
        options = (*options, "--files-dir", tmp_path / "files")
    a, b = serve(*options), serve(*options)
    ends, goes_on = begin(a, tmp_path / "x", steps=3), begin(b, tmp_path, steps=3)
    later = predict_later(a, params={"folder": tmp_path})
    until(a, later, "running", path=PREDICT)
    (tmp_path / "x").mkdir()
    postgresql.stop()
    away = time.monotonic()
    try:
        for number in (1, 2, 3):
            step(tmp_path / "x", number)
            wait_until(
                lambda n=number: get(a, ends).get("progress", {}).get("step") == n
            )
        step(tmp_path, 1)
        Path(tmp_path, "go").touch()
        wait_until(lambda: get(a, ends)["status"] == "done")
        assert a.post(PREDICT).status_code == 200
        with concurrent.futures.ThreadPoolExecutor() as threads:
            calls = [
                threads.submit(call, TRAIN)
                for server in (a, b)
                for call in (server.get, server.post)
            ]
            for call in calls:
                assert call.result().status_code == 503
                assert int(call.result().headers["Retry-After"]) > 0
        assert b.get("/v2/health/ready").status_code == 200
        time.sleep(max(0, seconds - (time.monotonic() - away)))
    finally:
        postgresql.start()
    step(tmp_path, 2)
    step(tmp_path, 3)
    for server in (a, b):
        for job in (ends, goes_on):
            ended = until(server, job, *ENDED)
            assert (ended["status"], ended["progress"]["step"]) == ("done", 3)
            wait_until(lambda s=server, j=job: log(s, j).count("\n") == 3)
            assert log(server, job) == "step 1\nstep 2\nstep 3\n"
            # The server that runs it shows its end before it is stored.
            curve = f"{TRAIN}/{job}/metrics"
            wait_until(lambda s=server, c=curve: s.get(c).json()["step"] == [1, 2, 3])
        until(server, later, "done", path=PREDICT)
        assert server.get(f"{PREDICT}/{later}/result").content == b"\x89PNG" * 1000


@pytest.mark.alone
def test_postgresql_is_away_for_longer_than_a_lease(
    serve: Serve, in_database, postgresql, tmp_path
):
    a = serve(*in_database)
    job = begin(a, tmp_path)
    postgresql.stop()
    try:
        ended = until(a, job, *ENDED)
        assert ended["message"].startswith("interrupted: ")
    finally:
        postgresql.start()
    b = serve(*in_database)
    wait_until(lambda: get(b, job)["status"] == "error")
    assert get(b, job)["message"].startswith("interrupted: ")


# -- together


@pytest.mark.alone
def test_servers_that_start_at_once(serve: Serve, postgresql):
    """Twice here; the tables alone are made many times in the contract of records."""
    for _ in range(2):
        with postgresql.database() as name, contextlib.ExitStack() as stop:
            options = ("--model", MODEL, "--database-url", postgresql.url(name))

            def open_one(_, options=options):
                return serve(*options)

            for server in at_once(open_one, 1, 2):
                stop.callback(server.stop)
                assert server.post(TRAIN).status_code == 200


def test_servers_prune_at_once(serve: Serve, options, database_url, postgresql):
    servers = [serve(*options, "--keep-jobs=5", "--workers=2") for _ in range(2)]

    def run_some(server):
        jobs = [
            server.post(PREDICT, headers=ASYNC).json()["uuid"] for _ in range(15)
        ] + [start(server, lines=3, steps=1) for _ in range(5)]
        for job in jobs:
            wait_until(
                lambda j=job: (
                    not any(
                        get(server, j, path).get("status") in ("queued", "running")
                        for path in (TRAIN, PREDICT)
                    )
                )
            )

    at_once(run_some, *servers)

    def count(statement):
        return rows(postgresql, database_url, statement)[0][0]

    wait_until(lambda: count("SELECT count(*) FROM jobs") == 5)
    for table in ("reports", "files"):
        left = f"SELECT count(*) FROM {table} WHERE uuid NOT IN (SELECT uuid FROM jobs)"
        wait_until(lambda s=left: count(s) == 0)
    assert "WARNING" not in servers[0].output + servers[1].output


# -- Idempotency-Key


@pytest.fixture(params=["sqlite", "postgresql"])
def two_servers(request, serve: Serve):
    """Two servers of one database, or one server twice."""
    if request.param == "sqlite":
        return [serve("--model", MODEL)] * 2
    url = request.getfixturevalue("database_url")
    return [serve("--model", MODEL, "--database-url", url) for _ in range(2)]


def test_a_request_that_is_sent_again_gives_the_same_job(two_servers):
    a, b = two_servers
    key = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}

    def post(server, path=TRAIN, headers=key, **params):
        file = {"file": ("a.txt", params.pop("content", b"1"), "text/plain")}
        return server.post(path, params=params, headers=headers, files=file)

    first = post(a, lines=1)
    assert first.status_code == 200
    again = post(b, lines=1)
    assert (again.status_code, again.json()["uuid"]) == (200, first.json()["uuid"])
    assert again.headers["Location"] == first.headers["Location"]
    for other in ({"lines": 2}, {"lines": 1, "content": b"2"}, {"password": "x"}):
        refused = post(b, **other)
        assert refused.status_code == 422
        assert "Idempotency-Key" in refused.json()["message"]
    later = post(a, PREDICT, {**key, **ASYNC})
    assert later.status_code == 202
    assert post(b, PREDICT, {**key, **ASYNC}).json()["uuid"] == later.json()["uuid"]
    until(a, first.json()["uuid"], *ENDED)
    assert [job["uuid"] for job in b.get(TRAIN).json()] == [first.json()["uuid"]]
    assert a.delete(f"{TRAIN}/{first.json()['uuid']}").status_code == 204
    assert post(b, lines=1).json()["uuid"] != first.json()["uuid"]


def test_requests_with_one_key_at_once(two_servers):
    key = {"Idempotency-Key": "k"}
    posted = at_once(lambda s: s.post(TRAIN, headers=key), *two_servers, *two_servers)
    assert {answer.status_code for answer in posted} == {200}
    assert len({answer.json()["uuid"] for answer in posted}) == 1
    assert len(two_servers[1].get(TRAIN).json()) == 1


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "é"])
def test_a_key_that_cannot_be_one(two_servers, key):
    headers = [("Idempotency-Key", key.encode("latin-1"))]
    answer = two_servers[0].post(TRAIN, headers=headers)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["message"]


# -- options


def test_a_shared_folder_needs_postgresql(fail_to_start, tmp_path, database_url):
    model = ("--model", MODEL, "--model-name", "m")
    ended = fail_to_start(*model, "--files-dir", tmp_path)
    assert ended.code == 1
    assert "--files-dir needs" in ended.output.splitlines()[-1]
    (tmp_path / "file").touch()
    place = ("--database-url", database_url, "--files-dir", tmp_path / "file")
    ended = fail_to_start(*model, *place)
    assert ended.code == 1
    assert "--files-dir" in ended.output.splitlines()[-1]


def test_postgresql_that_cannot_be_reached(fail_to_start):
    url = "postgresql://deepaas@127.0.0.1:1/x"
    ended = fail_to_start("--model", MODEL, "--model-name", "m", "--database-url", url)
    assert ended.code == 1
    assert "Traceback" not in ended.output
    assert "not reachable" in ended.output or "refused" in ended.output
