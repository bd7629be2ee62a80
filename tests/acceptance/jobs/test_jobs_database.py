"""Jobs while their database is locked, removed, read-only or full."""

import concurrent.futures
import contextlib
import sqlite3
import subprocess
import sys
import time

import pytest

from tests.conftest import Serve
from tests.server import MODELS, wait_until

MODEL = f"m={MODELS / 'trains.py'}"
TRAIN = "/v2/models/m/train"
PREDICT = "/v2/models/m/predict"
ASYNC = {"Prefer": "respond-async"}

LOCK = """
import sqlite3, sys, time
base = sqlite3.connect(sys.argv[1], isolation_level=None)
base.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
else:
    sys.stdin.read()
base.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked(database, *seconds):
    """Locks a database in another process, for some seconds or until the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", LOCK, database, *map(str, seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "locked\n"
        yield
    finally:
        process.communicate()
        assert process.returncode == 0


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def database(state):
    return state / "jobs.sqlite"


def start(server, **params):
    answer = server.post(TRAIN, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["uuid"]


def get(server, job):
    return server.get(f"{TRAIN}/{job}").json()


def stored(database, job):
    """Returns the status of a job in the database."""
    with contextlib.closing(sqlite3.connect(database)) as base:
        [[status]] = base.execute("SELECT status FROM jobs WHERE uuid = ?", [job])
    return status


@pytest.mark.alone
def test_a_database_that_is_locked_for_8_seconds(
    serve: Serve, state, database, tmp_path
):
    server = serve("--model", MODEL, "--state-dir", state, "--train-workers", "2")
    running = start(server, steps=3, folder=tmp_path)
    wait_until(lambda: get(server, running)["status"] == "running")
    with (
        concurrent.futures.ThreadPoolExecutor() as threads,
        locked(database, 8),
    ):
        began = time.monotonic()
        posts = [threads.submit(server.post, TRAIN) for _ in range(5)]
        for number in range(1, 4):
            (tmp_path / str(number)).touch()
            wait_until(
                lambda n=number: (
                    get(server, running)["progress"]["step"] == n
                    if "progress" in get(server, running)
                    else False
                )
            )
        wait_until(lambda: get(server, running)["status"] == "done")
        said = server.get(f"{TRAIN}/{running}/log?follow=1").text
        assert said == "step 1\nstep 2\nstep 3\n"
        listed = server.get(TRAIN)
        assert [job["uuid"] for job in listed.json()] == [running]
        assert server.get("/metrics").status_code == 200
        assert time.monotonic() - began < 7  # all this while it was locked
        assert [post.result().status_code for post in posts] == [200] * 5
    wait_until(lambda: stored(database, running) == "done", timeout=20)
    curve = server.get(f"{TRAIN}/{running}/metrics").json()
    assert curve["step"] == [1, 2, 3]


def test_a_database_that_stays_locked(serve: Serve, state, database, tmp_path):
    options = ("--model", MODEL, "--state-dir", state, "--train-workers", "2")
    server = serve(*options)
    ended = start(server)
    wait_until(lambda: get(server, ended)["status"] == "done")
    running = start(server, steps=1, folder=tmp_path)
    wait_until(lambda: stored(database, running) == "running")
    cancelled = start(server, steps=1, folder=tmp_path / "never")
    wait_until(lambda: stored(database, cancelled) == "running")
    with locked(database):
        (tmp_path / "1").touch()
        wait_until(lambda: get(server, running)["status"] == "done")
        answer = server.delete(f"{TRAIN}/{cancelled}")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        with concurrent.futures.ThreadPoolExecutor() as threads:
            calls = [
                *(threads.submit(server.post, TRAIN) for _ in range(3)),
                threads.submit(server.delete, f"{TRAIN}/{ended}"),
            ]
            for call in calls:
                refused = call.result()
                assert refused.status_code == 503
                assert "locked" in refused.json()["message"]
                assert int(refused.headers["Retry-After"]) > 0
        assert server.post(PREDICT).status_code == 200
        assert server.stop() == 0
        assert stored(database, running) == "running"
    server = serve(*options)
    assert get(server, running)["status"] == "done"
    assert get(server, running)["progress"]["step"] == 1
    assert get(server, cancelled)["status"] == "cancelled"
    assert list((state / "outcomes").iterdir()) == []


def test_a_killed_server_loses_no_outcome(serve: Serve, state, database, tmp_path):
    server = serve("--model", MODEL, "--state-dir", state)
    answer = server.post(PREDICT, headers=ASYNC, params={"folder": tmp_path})
    job = answer.json()["uuid"]
    wait_until(lambda: stored(database, job) == "running")
    with locked(database):
        (tmp_path / "go").touch()
        wait_until(lambda: list((state / "outcomes").glob("*.json")) != [])
        server.kill()
    server = serve("--model", MODEL, "--state-dir", state)
    assert server.get(f"{PREDICT}/{job}").json()["status"] == "done"
    assert server.get(f"{PREDICT}/{job}/result").content == b"\x89PNG" * 1000


def test_a_start_waits_for_a_locked_database(serve: Serve, state, database):
    server = serve("--model", MODEL, "--state-dir", state)
    job = start(server)
    server.stop()
    with locked(database, 9):
        server = serve("--model", MODEL, "--state-dir", state)
    assert get(server, job)["uuid"] == job


def test_a_start_with_a_database_that_stays_locked(
    serve: Serve, fail_to_start, state, database
):
    serve("--model", MODEL, "--state-dir", state).stop()
    with locked(database):
        ended = fail_to_start(
            *("--model", MODEL, "--model-name", "m", "--listen-port", "0"),
            *("--state-dir", state),
        )
    assert ended.code == 1
    assert "Traceback" not in ended.output
    assert "database is locked" in ended.output.splitlines()[-1]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_database_whose_file_is_removed(
    serve: Serve, state, database, tmp_path, replaced
):
    server = serve("--model", MODEL, "--state-dir", state, errors_expected=True)
    running = start(server, steps=1, folder=tmp_path)
    wait_until(lambda: stored(database, running) == "running")
    away = database.rename(tmp_path / "away")
    if replaced:
        database.touch()
    for answer in (server.post(TRAIN), server.get(TRAIN)):
        assert answer.status_code == 500
        assert "was removed or replaced" in answer.json()["message"]
    assert server.get("/metrics").status_code == 200
    (tmp_path / "1").touch()
    wait_until(lambda: get(server, running)["status"] == "done")
    away.rename(database)
    wait_until(lambda: stored(database, running) == "done", timeout=20)
    start(server)


def test_a_database_that_is_read_only(serve: Serve, fail_to_start, state, database):
    server = serve("--model", MODEL, "--state-dir", state)
    start(server)
    server.stop()
    with contextlib.closing(sqlite3.connect(database)) as base:
        base.execute("UPDATE jobs SET status = 'running'")
        base.commit()
    ended = fail_to_start(
        *("--model", MODEL, "--model-name", "m", "--listen-port", "0"),
        *("--state-dir", state),
        *("--database-url", f"sqlite:///file:{database}?mode=ro&uri=true"),
    )
    assert ended.code == 1
    assert "Traceback" not in ended.output
    assert "readonly database" in ended.output.splitlines()[-1]


def test_servers_that_start_at_once_on_one_database(tmp_path, serve: Serve):
    url = f"sqlite:///{tmp_path / 'shared.sqlite'}"

    def begin(number):
        options = ("--state-dir", tmp_path / str(number), "--database-url", url)
        return serve("--model", MODEL, *options)

    with concurrent.futures.ThreadPoolExecutor() as threads:
        for server in list(threads.map(begin, range(3))):
            assert server.post(TRAIN).status_code == 200


def test_a_stream_without_pieces_is_a_result(serve: Serve):
    model = MODELS / "yields.py"
    server = serve("--model", f"m={model}")
    params = {"items": 0}
    answer = server.post(PREDICT, headers=ASYNC, params=params)
    path = f"{PREDICT}/{answer.json()['uuid']}"
    wait_until(lambda: server.get(path).json()["status"] == "done")
    result = server.get(f"{path}/result")
    now = server.post(PREDICT, params=params)
    assert (result.status_code, result.content) == (now.status_code, now.content)
