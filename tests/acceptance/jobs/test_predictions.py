"""Predictions as jobs, and predictions beside trainings."""

import pytest

from tests.acceptance.jobs.conftest import (
    ENDED,
    MODEL,
    PREDICT,
    at_once,
    get,
    predict_later,
    start,
    step,
    until,
)
from tests.conftest import Serve


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


@pytest.mark.parametrize(
    "options",
    [("--workers", "2", "--train-workers", "0"), ("--workers", "1")],
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
