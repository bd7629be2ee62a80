"""The records and files of jobs after the end of a server."""

import json
import os
import signal
import uuid
from pathlib import Path

import pytest

from tests.acceptance.jobs.conftest import (
    MODEL,
    PREDICT,
    TRAIN,
    events,
    get,
    log,
    predict_later,
    run,
    start,
    step,
    until,
)
from tests.conftest import Serve
from tests.server import wait_until


def kept(server, state, job):
    """Return the job, its log and its metrics."""
    answers = [server.get(f"{TRAIN}/{job}{p}").text for p in ("", "/log", "/metrics")]
    return [json.loads(answers[0]), *answers[1:]]


def test_a_killed_server_loses_no_training(serve: Serve, state, tmp_path):
    server = serve("--model", MODEL, "--state-dir", state)
    done = until(server, start(server, steps=1, result="numpy"), "done")["uuid"]
    before = kept(server, state, done)
    running = start(server, lines=10_000, steps=2, folder=tmp_path)
    queued = start(server)
    step(tmp_path, 1)
    curve = f"{TRAIN}/{running}/metrics"  # is read from the database
    wait_until(lambda: server.get(curve).json()["step"] == [1])
    wait_until(lambda: "step 1" in log(server, running))
    server.kill()
    server = serve("--model", MODEL, "--state-dir", state)
    assert kept(server, state, done) == before
    job, said, curve = kept(server, state, running)
    assert job["status"] == "error"
    assert job["message"] == "interrupted: the server ended while it ran"
    assert job["progress"]["step"] == 1
    assert said.splitlines() == [f"line {n}" for n in range(10_000)] + ["step 1"]
    assert json.loads(curve)["step"] == [1]
    job = get(server, queued)
    assert job["status"] == "error"
    assert job["message"].startswith("interrupted: ")
    assert [j["uuid"] for j in server.get(TRAIN).json()] == [queued, running, done]
    assert run(server)["status"] == "done"


@pytest.mark.parametrize("twice", [False, True])
def test_a_stopped_server_marks_its_jobs(serve: Serve, state, tmp_path, twice):
    server = serve("--model", MODEL, "--state-dir", state)
    running = start(server, steps=1, folder=tmp_path)
    queued = start(server)
    until(server, running, "running")
    with events(server, running) as happens:
        next(happens)
        os.kill(server.pid, signal.SIGTERM)
        if twice:
            os.kill(server.pid, signal.SIGTERM)
        else:
            *_, (_, last) = happens
            assert last["status"] == "error"
    assert server.wait() == 0
    server = serve("--model", MODEL, "--state-dir", state)
    for job in (running, queued):
        assert get(server, job)["status"] == "error"
        assert get(server, job)["message"] == "the server was stopped"


def test_a_prediction_that_runs_may_end_before_the_server(
    serve: Serve, state, tmp_path
):
    server = serve("--model", MODEL, "--state-dir", state)
    job = predict_later(server, params={"folder": tmp_path})
    until(server, job, "running", path=PREDICT)
    os.kill(server.pid, signal.SIGTERM)
    wait_until(server.refuses)
    Path(tmp_path, "go").touch()
    assert server.wait() == 0
    server = serve("--model", MODEL, "--state-dir", state)
    result = server.get(f"{PREDICT}/{job}/result")
    assert result.content == b"\x89PNG" * 1000


def test_what_is_kept(serve: Serve, state):
    options = ("--model", MODEL, "--state-dir", state, "--keep-jobs", "2")
    server = serve(*options)
    trainings = [run(server, lines=1)["uuid"] for _ in range(3)]
    later = predict_later(server)
    until(server, later, "done", path=PREDICT)
    wait_until(lambda: get(server, trainings[1]).get("status") is None)
    assert [j["uuid"] for j in server.get(TRAIN).json()] == trainings[2:]
    assert [p.name for p in (state / "logs").iterdir()] == [f"{trainings[2]}.log"]
    assert [p.name for p in (state / "results").iterdir()] == [later]
    server.stop()
    Path(state, "results", f"{uuid.uuid4().hex}.part").touch()  # a half-written file
    server = serve(*options[:-1], "1")
    assert server.get(TRAIN).json() == []
    assert list((state / "logs").iterdir()) == []
    assert [p.name for p in (state / "results").iterdir()] == [later]
    assert get(server, later, PREDICT)["status"] == "done"


def test_a_job_is_new_when_it_ends(serve: Serve, state, tmp_path):
    options = ("--keep-jobs", "2", "--train-workers", "2", "--workers", "1")
    server = serve("--model", MODEL, "--state-dir", state, *options)
    long = start(server, steps=1, folder=tmp_path)
    until(server, long, "running")
    short = [run(server)["uuid"] for _ in range(3)]
    wait_until(lambda: get(server, short[0]).get("status") is None)
    step(tmp_path, 1)
    assert until(server, long, "done")["progress"]["step"] == 1
    assert run(server)["status"] == "done"
    wait_until(lambda: get(server, short[2]).get("status") is None)
    assert get(server, long)["status"] == "done"
    assert log(server, long) == "step 1\n"


def test_keep_days(serve: Serve, state):
    server = serve("--model", MODEL, "--state-dir", state)
    run(server)
    server.stop()
    server = serve("--model", MODEL, "--state-dir", state, "--keep-days", "1")
    assert len(server.get(TRAIN).json()) == 1
    server.stop()
    server = serve("--model", MODEL, "--state-dir", state, "--keep-days", "1e-9")
    assert server.get(TRAIN).json() == []


def test_one_server_for_one_state_directory(serve: Serve, fail_to_start, state):
    serve("--model", MODEL, "--state-dir", state)
    ended = fail_to_start(
        *("--model", MODEL, "--model-name", "m", "--listen-port", "0"),
        *("--state-dir", state),
    )
    assert ended.code == 1
    loading, line = ended.output.splitlines()
    assert loading == "m: loading …"
    assert f"another server keeps its jobs in {state}" in line


def test_a_state_directory_that_cannot_be_used(fail_to_start, tmp_path):
    options = ("--model", MODEL, "--model-name", "m", "--listen-port", "0")
    file = tmp_path / "file"
    file.touch()
    ended = fail_to_start(*options, "--state-dir", file)
    assert ended.code == 1
    assert "--state-dir" in ended.output
    (tmp_path / "jobs.sqlite").write_text("no database " * 100)
    ended = fail_to_start(*options, "--state-dir", tmp_path)
    assert ended.code == 1
    assert "file is not a database" in ended.output
    ended = fail_to_start(*options, "--database-url", "nonsense://")
    assert ended.code == 1
    assert "nonsense" in ended.output


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite:///file:?uri=true",  # a file without a name
    ],
)
def test_a_database_in_memory_is_refused(fail_to_start, tmp_path, url):
    options = ("--model", MODEL, "--model-name", "m", "--listen-port", "0")
    state = ("--state-dir", tmp_path)
    ended = fail_to_start(*options, *state, "--database-url", url)
    assert ended.code == 1
    loading, line = ended.output.splitlines()
    assert loading == "m: loading …"
    assert "--database-url" in line


def test_the_default_state_directory(serve: Serve, tmp_path):
    server = serve("--model", MODEL, env={"XDG_STATE_HOME": str(tmp_path)})
    assert (tmp_path / "deepaas" / str(server.port) / "jobs.sqlite").exists()


def test_trainings_turned_off(serve: Serve):
    server = serve("--model", MODEL, "--notrain-endpoint")
    for answer in (server.get(TRAIN), server.post(TRAIN), server.get(f"{TRAIN}/x")):
        assert answer.status_code == 404
        assert "--notrain-endpoint" in answer.json()["message"]
    paths = server.get("/swagger.json").json()["paths"]
    assert not [path for path in paths if "train" in path]
