"""Trainings over HTTP, from beginning to end."""

import json
import uuid
from urllib.parse import urljoin

import psutil
import pytest

from tests.acceptance.jobs.conftest import (
    ASYNC,
    ENDED,
    MODEL,
    PREDICT,
    TRAIN,
    at_once,
    events,
    get,
    log,
    run,
    start,
    step,
    until,
)
from tests.conftest import Serve
from tests.server import lives, prediction, wait_until

SHARED = [("--train-workers", "0"), ("--train-workers", "0", "--workers", "2")]
"""Options with which trainings share the workers."""


def test_a_training_from_beginning_to_end(server, tmp_path):
    answer = server.post(TRAIN, params={"steps": 2, "folder": tmp_path})
    job = answer.json()["uuid"]
    assert len(job) == 32
    assert urljoin(TRAIN, answer.headers["Location"]) == f"{TRAIN}/{job}"
    assert answer.headers["Retry-After"]
    assert answer.json()["status"] in ("queued", "running")
    assert answer.json()["args"]["steps"] == 2
    with events(server, job) as happens:
        name, first = next(happens)
        assert name == "status"
        assert first["uuid"] == job
        step(tmp_path, 1)
        moved = next(data for name, data in happens if name == "progress")
        assert moved["step"] == 1
        assert moved["total"] == 2
        assert moved["metrics"] == {"loss": 1.0, "right": 0.5}
        wait_until(lambda: "step 1" in log(server, job))
        assert get(server, job)["status"] == "running"
        step(tmp_path, 2)
        *_, (name, last) = happens  # the stream ends with the job
    assert name == "status"
    assert last["status"] == "done"
    assert last == get(server, job)
    assert last["result"].keys() == {"output", "finish_date", "duration"}
    assert log(server, job) == "step 1\nstep 2\n"
    curve = server.get(f"{TRAIN}/{job}/metrics").json()
    assert curve["step"] == [1, 2]
    assert curve["loss"] == [1.0, 0.5]
    assert len(curve["date"]) == 2
    assert "Retry-After" not in server.get(f"{TRAIN}/{job}").headers


def test_a_log_is_followed(server, tmp_path):
    job = start(server, steps=2, folder=tmp_path)
    path = f"{TRAIN}/{job}/log?follow=1"
    with server.client.stream("GET", path) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        lines = answer.iter_lines()
        step(tmp_path, 1)
        assert next(lines) == "step 1"
        step(tmp_path, 2)
        assert list(lines) == ["step 2"]
    assert server.get(path).text == "step 1\nstep 2\n"  # it has ended


def test_head(server, tmp_path):
    job = start(server, steps=1, folder=tmp_path)
    for path in ("", "/log", "/log?follow=1", "/events", "/metrics"):
        answer = server.head(f"{TRAIN}/{job}{path}")
        assert answer.status_code == 200
        assert answer.content == b""
    assert server.head(TRAIN).status_code == 200
    step(tmp_path, 1)
    until(server, job, "done")  # other tests compare lists


def test_cancel(server, tmp_path):
    job = start(server, steps=1, folder=tmp_path, child=True)
    wait_until(lambda: "stray" in log(server, job))
    _, child, _, stray = log(server, job).split()
    worker = psutil.Process(int(child)).ppid()  # a describer may run as well
    answer = server.delete(f"{TRAIN}/{job}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    wait_until(lambda: not any(map(lives, map(int, (child, stray, worker)))))
    assert get(server, job)["status"] == "cancelled"
    assert server.get(TRAIN).json()[0]["uuid"] == job
    warm = prediction(server.post(PREDICT, params={"accept": "application/json"}))
    assert warm["warm"]
    assert warm["pid"] != worker
    assert server.delete(f"{TRAIN}/{job}").status_code == 204


def test_delete_in_every_state(server, tmp_path):
    running = start(server, steps=1, folder=tmp_path)
    queued = start(server)
    until(server, running, "running")
    assert get(server, queued)["status"] == "queued"
    cancelled = server.delete(f"{TRAIN}/{queued}")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    assert server.delete(f"{TRAIN}/{running}").json()["status"] == "cancelled"
    failed = run(server, fail="really")
    finished = run(server)
    assert (failed["status"], finished["status"]) == ("error", "done")
    for job in (failed["uuid"], finished["uuid"], queued, running):
        gone = server.delete(f"{TRAIN}/{job}")
        assert gone.status_code == 204
        assert gone.content == b""
        for path in ("", "/log", "/events", "/metrics"):
            assert server.get(f"{TRAIN}/{job}{path}").status_code == 404
        assert server.delete(f"{TRAIN}/{job}").status_code == 404
    for unknown in (uuid.uuid4().hex, "x", "..%2F..%2Fetc%2Fpasswd"):
        answer = server.delete(f"{TRAIN}/{unknown}")
        assert answer.status_code == 404
        assert answer.json().keys() == {"message"}


def test_two_deletes_at_once(server, tmp_path):
    job = start(server, steps=1, folder=tmp_path)
    until(server, job, "running")
    answers = at_once(server.delete, *[f"{TRAIN}/{job}"] * 2)
    assert {answer.status_code for answer in answers} <= {200, 204}
    assert 200 in {answer.status_code for answer in answers}
    ended = run(server)["uuid"]
    answers = at_once(server.delete, *[f"{TRAIN}/{ended}"] * 2)
    assert sorted(answer.status_code for answer in answers) == [204, 404]


def test_a_job_of_another_kind_or_model_is_not_found(server):
    job = run(server)["uuid"]
    assert server.get(f"{PREDICT}/{job}").status_code == 404
    assert server.delete(f"{PREDICT}/{job}").status_code == 404
    assert server.get(f"/v2/models/n/train/{job}").status_code == 404
    assert get(server, job)["status"] == "done"


def test_arguments_of_every_type_and_a_secret_that_stays_one(serve: Serve, state):
    server = serve("--model", MODEL, "--state-dir", state)
    secret = f"sesame-{uuid.uuid4().hex}"
    args = {
        "when": "2026-11-24T12:00:00+01:00",
        "id": str(uuid.uuid4()),
        "price": "12.50",
        "share": "nan",
        "password": secret,
        "nested": json.dumps({"user": "ada", "key": secret}),
        "users": json.dumps({"user": "ada", "key": secret}),
        "by_name": json.dumps({"ada": {"user": "ada", "key": secret}}),
        "pair": json.dumps(["ada", secret]),
        "long": ["9" * 20] * 500,
    }
    query = {"password": args.pop("password")}
    shown = {"user": "ada", "key": "***"}
    files = {"file": ("text.txt", b"content", "text/plain")}
    answer = server.post(TRAIN, params=query, data=args, files=files)
    assert answer.status_code == 200, answer.text
    job = until(server, answer.json()["uuid"], "done")
    assert (
        job["args"].items()
        >= {
            **args,
            "share": None,
            "password": "***",
            "nested": shown,
            "users": [shown],
            "by_name": {"ada": shown},
            "pair": ["ada", "***"],
            "long": "(10501 bytes of JSON)",
            "file": {
                "name": "file",
                "content_type": "text/plain",
                "original_filename": "text.txt",
            },
        }.items()
    )
    assert server.get(TRAIN).json() == [job]
    assert log(server, job["uuid"]) == "file content\n"
    server.stop()
    stored = [path.read_bytes() for path in state.rglob("*") if path.is_file()]
    assert any(job["uuid"].encode() in content for content in stored)
    assert not any(secret.encode() in content for content in stored)
    assert secret not in server.output


@pytest.mark.parametrize(
    ("result", "output"),
    [
        ("numpy", {"mean": 0.5, "all": [0, 1, 2]}),
        ("nan", [None, None, 1.5]),
        ("bytes", "<bytes of 2 bytes>"),
        ("object", {"kept": 1, "odd": "a plain object"}),
        ("set", [1]),
        ("nothing", None),
        ("large", "x" * 100_000),
    ],
)
def test_results_of_every_type(server, result, output):
    job = run(server, result=result)
    assert job["status"] == "done"
    assert job["result"]["output"] == output
    listed = server.get(TRAIN).json()[0]
    if result == "large":
        assert listed["result"].pop("output").startswith("(large: ")
        del job["result"]["output"]
    assert listed == job


@pytest.mark.parametrize(
    ("fail", "message"),
    [
        ("request", "HTTPBadRequest: the pictures are too small"),
        ("exit", "The worker died in the call: exit code 3."),
        ("kill", "The worker died in the call: SIGKILL (out of memory?)."),
        ("really", "ValueError: really"),
    ],
)
def test_a_training_that_fails_says_why(server, fail, message):
    job = run(server, fail=fail, steps=1)
    assert job["status"] == "error"
    assert job["message"] == message
    assert job["progress"]["step"] == 1
    assert "output" not in job["result"]
    said = log(server, job["uuid"])
    assert said.startswith("step 1\n")
    assert ("Traceback" in said) == (fail in ("request", "really"))


def test_nothing_is_too_deep_for_the_list(serve: Serve, state):
    # Trainings share the worker: a process for each of so many takes minutes.
    server = serve("--model", MODEL, "--state-dir", state, "--train-workers", "0")
    levels = [1, 99, *range(199, 256)]
    jobs = []
    for number in levels:
        deep = "[" * number + "]" * number
        value = json.loads(deep) if number < 255 else deep  # no JSON form: a text
        body = {"params": {"result": "deep"}, "content": f'{{"deep": {deep}}}'}
        headers = {"Content-Type": "application/json"}
        answer = server.post(TRAIN, headers=headers, **body)
        assert answer.status_code == 200, number
        job = until(server, answer.json()["uuid"], "done")
        hidden = "(JSON of more than 100 levels)"
        assert job["args"]["deep"] == (hidden if 100 < number < 255 else value)
        assert job["result"]["output"] == value
        jobs.insert(0, job)
    assert server.get(TRAIN).json() == jobs
    server.stop()
    server = serve("--model", MODEL, "--state-dir", state)
    assert server.get(TRAIN).json() == jobs


def test_what_a_model_says_is_logged_line_by_line(server):
    job = run(server, says="one\n\n\r 1%\r 2%\r\nno end")
    assert log(server, job["uuid"]) == "one\n\n 1%\n 2%\nno end\n"


def test_odd_progress_breaks_nothing(server):
    job = run(server, reports="huge", fail="x" * 8_000)
    assert job["status"] == "error"
    assert job["progress"]["step"] is None
    assert server.get(TRAIN).json()[0] == job
    assert server.get(f"{TRAIN}/{job['uuid']}/metrics").json()["step"] == [None]
    assert server.delete(f"{TRAIN}/{job['uuid']}").status_code == 204


@pytest.mark.parametrize("options", [*SHARED, ("--train-workers", "1")])
def test_too_many_wait(serve: Serve, tmp_path, options):
    server = serve("--model", MODEL, "--max-queued", "2", *options)
    waiting = [start(server, steps=1, folder=tmp_path) for _ in range(3)]
    wait_until(lambda: get(server, waiting[0])["status"] == "running")
    full = server.post(TRAIN)
    assert full.status_code == 503
    assert full.headers["Retry-After"]
    if options != SHARED[0]:
        assert server.post(PREDICT).status_code == 200
    step(tmp_path, 1)
    for job in waiting:
        until(server, job, "done")


def test_names_of_metrics_may_be_an_enumeration(server):
    job = run(server, reports="named")
    assert job["status"] == "done"
    assert job["progress"]["metrics"] == {"loss": 0.5}


@pytest.mark.parametrize("path", [TRAIN, PREDICT])
@pytest.mark.parametrize("options", [*SHARED, ("--train-workers", "1")])
def test_too_many_come_at_once(serve: Serve, tmp_path, path, options):
    server = serve("--model", MODEL, "--max-queued", "1", *options)
    params = {"steps": 1, "folder": tmp_path}

    def post(_):
        return server.post(path, params=params, headers=ASYNC)

    answers = at_once(post, *range(10))
    jobs = [a.json()["uuid"] for a in answers if a.status_code in (200, 202)]
    # a worker has what runs; both of them have predictions, one alone trainings
    assert len(jobs) == (3 if "--workers" in options and path == PREDICT else 2)
    for answer in answers:
        if answer.status_code == 503:
            assert answer.headers["Retry-After"]
    assert sum(a.status_code == 503 for a in answers) == 10 - len(jobs)
    step(tmp_path, "go")
    step(tmp_path, 1)
    for job in jobs:
        assert until(server, job, *ENDED, path=path)["status"] == "done"
    wait_until(lambda: post(None).status_code in (200, 202))  # no place is lost


def test_an_end_that_cannot_be_stored_yet(serve: Serve, state, tmp_path):
    server = serve("--model", MODEL, "--state-dir", state, errors_expected=True)
    job = start(server, steps=1, folder=tmp_path)
    until(server, job, "running")
    limit = psutil.Process(server.pid).rlimit
    _, most = limit(psutil.RLIMIT_FSIZE)
    limit(psutil.RLIMIT_FSIZE, (0, most))
    step(tmp_path, 1)
    until(server, job, "done")
    for call in (lambda: server.delete(f"{TRAIN}/{job}"), lambda: server.post(TRAIN)):
        assert call().status_code in (500, 507)
        assert get(server, job)["status"] == "done"
    limit(psutil.RLIMIT_FSIZE, (most, most))
    wait_until(lambda: server.post(TRAIN).status_code == 200)
    server.stop()
    server = serve("--model", MODEL, "--state-dir", state)
    assert get(server, job)["status"] == "done"


def test_a_state_directory_with_an_odd_name(serve: Serve, tmp_path):
    state = tmp_path / "a?b#c%20d"
    server = serve("--model", MODEL, "--state-dir", state)
    assert run(server)["status"] == "done"
    assert (state / "jobs.sqlite").exists()


def test_the_list(server):
    jobs = [run(server, fail="x" if n % 2 else "")["uuid"] for n in range(4)]
    newest = list(reversed(jobs))

    def listed(**params):
        answer = server.get(TRAIN, params=params)
        assert answer.status_code == 200
        return [job["uuid"] for job in answer.json()]

    assert listed()[:4] == newest
    assert listed(limit=2) == newest[:2]
    assert listed(limit=2, offset=1) == newest[1:3]
    assert listed(offset=1)[:3] == newest[1:]
    assert listed(status="error")[:2] == newest[::2]
    assert listed(status="queued") == []
    assert listed(limit=0) == []
    for params in (
        *({"status": "lost"}, {"limit": -1}, {"limit": "x"}, {"offset": -1}),
        *({"limit": 10**20}, {"offset": 10**20}),
    ):
        wrong = server.get(TRAIN, params=params)
        assert wrong.status_code == 422
        assert wrong.json().keys() == params.keys()


def test_invalid_arguments_start_nothing(server):
    before = server.get(TRAIN).json()
    assert server.post(TRAIN, params={"steps": "many"}).status_code == 422
    assert server.get(TRAIN).json() == before
    assert server.post(PREDICT, headers=ASYNC, content=b"{").status_code == 415
