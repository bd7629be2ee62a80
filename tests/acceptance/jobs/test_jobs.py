"""Jobs over HTTP: trainings, and predictions that nobody waits for."""

import concurrent.futures
import json
import os
import signal
import threading
import uuid
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest

from tests.conftest import Serve
from tests.server import MODELS, prediction, wait_until

MODEL = f"m={MODELS / 'trains.py'}"
TRAIN = "/v2/models/m/train"
PREDICT = "/v2/models/m/predict"
ASYNC = {"Prefer": "respond-async"}
ENDED = ("done", "error", "cancelled")


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    return serve_module("--model", MODEL, "--raw-predictions", errors_expected=True)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def start(server, **params):
    files = params.pop("files", None)
    answer = server.post(TRAIN, params=params, files=files)
    assert answer.status_code == 200
    return answer.json()["uuid"]


def get(server, job, path=TRAIN):
    return server.get(f"{path}/{job}").json()


def until(server, job, *statuses, path=TRAIN):
    wait_until(lambda: get(server, job, path)["status"] in statuses)
    return get(server, job, path)


def run(server, **params):
    return until(server, start(server, **params), *ENDED)


def log(server, job):
    return server.get(f"{TRAIN}/{job}/log").text


def step(folder, number):
    Path(folder, str(number)).touch()


@contextmanager
def events(server, job, path=TRAIN):
    """Give pairs of an event's name and its data."""
    with server.client.stream("GET", f"{path}/{job}/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield parsed(answer.iter_lines())


def parsed(lines):
    name = None
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


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


def test_cancel(server, tmp_path):
    job = start(server, steps=1, folder=tmp_path, child=True)
    wait_until(lambda: "stray" in log(server, job))
    _, child, _, stray = log(server, job).split()
    [worker] = server.workers()
    answer = server.delete(f"{TRAIN}/{job}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    for pid in map(int, (child, stray, worker)):
        assert not psutil.pid_exists(pid) or (
            psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        )
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


def at_once(call, *several):
    """Call with each argument, all at the same moment."""
    ready = threading.Barrier(len(several))

    def wait_and_call(argument):
        ready.wait()
        return call(argument)

    with concurrent.futures.ThreadPoolExecutor(len(several)) as pool:
        return list(pool.map(wait_and_call, several))


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
    server = serve("--model", MODEL, "--state-dir", state)
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


@pytest.mark.parametrize("options", [(), ("--train-workers", "1"), ("--workers", "2")])
def test_too_many_wait(serve: Serve, tmp_path, options):
    server = serve("--model", MODEL, "--max-queued", "2", *options)
    waiting = [start(server, steps=1, folder=tmp_path) for _ in range(3)]
    wait_until(lambda: get(server, waiting[0])["status"] == "running")
    full = server.post(TRAIN)
    assert full.status_code == 503
    assert full.headers["Retry-After"]
    if options:
        assert server.post(PREDICT).status_code == 200
    step(tmp_path, 1)
    for job in waiting:
        until(server, job, "done")


def test_names_of_metrics_may_be_an_enumeration(server):
    job = run(server, reports="named")
    assert job["status"] == "done"
    assert job["progress"]["metrics"] == {"loss": 0.5}


@pytest.mark.parametrize("path", [TRAIN, PREDICT])
@pytest.mark.parametrize("options", [(), ("--train-workers", "1"), ("--workers", "2")])
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


# -- predictions that nobody waits for


def predict_later(server, **options):
    answer = server.post(PREDICT, headers=ASYNC, **options)
    assert answer.status_code == 202
    job = answer.json()["uuid"]
    assert urljoin(PREDICT, answer.headers["Location"]) == f"{PREDICT}/{job}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    return job


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"params": {"accept": "application/json"}},
        {"params": {"accept": "text/plain"}},
        {"params": {"accept": "text/plain", "length": 2_000}},
        {"params": {"accept": "text/plain", "length": 2_000_000}},
        {"files": {"file": ("a.txt", b"x" * 3_000_000)}},
        {"params": {"fail": True}},
    ],
)
def test_a_result_is_what_the_call_would_have_answered(server, options):
    job = predict_later(server, **options)
    ended = until(server, job, *ENDED, path=PREDICT)
    result = server.get(f"{PREDICT}/{job}/result")
    now = server.post(PREDICT, **options)
    assert result.status_code == now.status_code
    assert result.content == now.content
    for header in (
        *("Content-Type", "Content-Disposition", "Content-Length"),
        *("Content-Encoding", "Vary"),
    ):
        # the name of an upload's temporary file is another each time
        if "files" not in options or header != "Content-Disposition":
            assert result.headers.get(header) == now.headers.get(header)
    assert ended["status"] == ("error" if "fail" in str(options) else "done")
    assert server.head(f"{PREDICT}/{job}/result").status_code == now.status_code
    assert server.delete(f"{PREDICT}/{job}").status_code == 204
    assert server.get(f"{PREDICT}/{job}/result").status_code == 404


def test_a_result_that_is_not_there(server, tmp_path):
    job = predict_later(server, params={"folder": tmp_path})
    path = f"{PREDICT}/{job}/result"
    early = server.get(path)
    assert early.status_code == 202
    assert early.json()["uuid"] == job
    assert "Retry-After" in early.headers
    assert server.delete(f"{PREDICT}/{job}").json()["status"] == "cancelled"
    assert server.get(path).status_code == 410


def test_a_result_in_parts(server):
    job = predict_later(server)
    until(server, job, "done", path=PREDICT)
    part = server.get(f"{PREDICT}/{job}/result", headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, b"PNG")


@pytest.mark.parametrize("in_parts", [{}, {"Range": "bytes=0-3"}])
def test_a_result_whose_file_is_gone(serve: Serve, state, in_parts):
    server = serve("--model", MODEL, "--state-dir", state)
    job = predict_later(server)
    until(server, job, "done", path=PREDICT)
    (state / "results" / job).unlink()
    gone = server.get(f"{PREDICT}/{job}/result", headers=in_parts)
    assert gone.status_code == 410
    assert gone.json().keys() == {"message"}
    assert server.get(f"{PREDICT}/{job}/log").text == ""
    assert server.delete(f"{PREDICT}/{job}").status_code == 204


def test_many_at_once(server):
    jobs = at_once(lambda _: predict_later(server), *range(20))
    assert len(set(jobs)) == 20
    for job in jobs:
        assert until(server, job, *ENDED, path=PREDICT)["status"] == "done"


# -- predictions beside trainings


@pytest.mark.parametrize(
    "options", [("--workers", "2"), ("--workers", "1", "--train-workers", "1")]
)
def test_predictions_go_on_beside_trainings(serve: Serve, tmp_path, options):
    server = serve("--model", MODEL, *options)
    jobs = [start(server, steps=1, folder=tmp_path) for _ in range(2)]
    until(server, jobs[0], "running")
    for _ in range(5):
        assert server.post(PREDICT).status_code == 200
    assert [get(server, job)["status"] for job in jobs] == ["running", "queued"]
    step(tmp_path, 1)
    for job in jobs:
        until(server, job, "done")


# -- the server's end


def kept(server, state, job):
    """What there is of a job on disk and in the answers."""
    answers = [server.get(f"{TRAIN}/{job}{p}").text for p in ("", "/log", "/metrics")]
    return [json.loads(answers[0]), *answers[1:]]


def test_a_killed_server_loses_no_training(serve: Serve, state, tmp_path):
    server = serve("--model", MODEL, "--state-dir", state)
    done = until(server, start(server, steps=1, result="numpy"), "done")["uuid"]
    before = kept(server, state, done)
    running = start(server, lines=10_000, steps=2, folder=tmp_path)
    queued = start(server)
    step(tmp_path, 1)
    wait_until(lambda: get(server, running).get("progress") is not None)
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
def test_a_stopped_server_says_so(serve: Serve, state, tmp_path, twice):
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
    assert server.stop() == 0
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
    Path(state, "results", f"{uuid.uuid4().hex}.part").touch()  # half written
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
    [line] = ended.output.splitlines()
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
    [line] = ended.output.splitlines()
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
