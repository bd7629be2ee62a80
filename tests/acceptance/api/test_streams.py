"""Models that yield: the pieces, their times, and streams that no caller reads."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tests.conftest import Serve
from tests.server import MODELS, wait_until

MODEL = f"m={MODELS / 'yields.py'}"
PATH = "/v2/models/m/predict"
EVENTS = {"accept": "text/event-stream"}
VIDEO = {"accept": "video/mp4"}


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    return serve_module("--model", MODEL, errors_expected=True)


@pytest.fixture(params=[False, True], ids=["generator", "async generator"])
def kind(request):
    return {"asynchronous": request.param}


def stream(server, **params):
    return server.client.stream("POST", PATH, params=params)


def test_one_line_an_item(server, kind):
    answer = server.post(PATH, params=kind)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert "Content-Length" not in answer.headers
    assert answer.text == '{"n":0}\n{"n":1}\n{"n":2}\n'


def test_one_event_an_item(server, kind):
    answer = server.post(PATH, params={**kind, **EVENTS, "items": 2})
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.text == 'data: {"n":0}\n\ndata: {"n":1}\n\n'
    answer = server.post(PATH, params={**kind, **EVENTS, "items": 1, "how": "text"})
    assert answer.text == "data: item 0\ndata: of several\n\n"
    answer = server.post(PATH, params={**kind, **EVENTS, "items": 1, "how": "lines"})
    lines = ["", "a\u2028b\x0cc", "d", "e ?", ""]
    assert answer.text == "".join(f"data: {line}\n" for line in lines) + "\n"


def test_chunks(server, kind):
    answer = server.post(
        PATH, params={**kind, **VIDEO, "how": "bytes", "size": 100_000}
    )
    assert answer.headers["Content-Type"] == "video/mp4"
    assert answer.content == b"x" * 300_000


def test_nothing_is_yielded(server, kind):
    answer = server.post(PATH, params={**kind, "items": 0})
    assert answer.status_code == 200
    assert answer.content == b""


def test_the_first_item_comes_while_the_model_works_on_the_second(
    server, kind, tmp_path
):
    Path(tmp_path, "0").touch()
    with stream(server, **kind, folder=tmp_path, items=2) as answer:
        lines = answer.iter_lines()
        assert next(lines) == '{"n":0}'
        Path(tmp_path, "1").touch()
        assert list(lines) == ['{"n":1}']


def test_an_error_before_the_first_item_has_its_status(server, kind):
    answer = server.post(PATH, params={**kind, "fail_at": 0})
    assert answer.status_code == 409
    assert answer.json() == {"message": "not this one"}
    answer = server.post(PATH, params={**kind, "how": "odd"})
    assert answer.status_code == 500
    assert "object has no JSON form" in answer.json()["message"]


def test_an_error_in_the_middle(server, kind):
    lines = server.post(PATH, params={**kind, "fail_at": 1}).text.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"n": 0},
        {"message": "not this one"},
    ]
    events = server.post(PATH, params={**kind, **EVENTS, "fail_at": 1}).text
    assert events.endswith('event: error\ndata: {"message":"not this one"}\n\n')
    with pytest.raises(httpx.RemoteProtocolError):  # it must not look complete
        server.post(PATH, params={**kind, **VIDEO, "how": "bytes", "fail_at": 1})


def test_what_cannot_be_sent(server):
    answer = server.post(PATH, params=VIDEO)
    assert answer.status_code == 500
    assert "yielded a dict for video/mp4" in answer.json()["message"]


@pytest.mark.parametrize(
    "where",
    [
        {"sleep": 60},  # in the second
        {"items": 10**9},  # in any, at full speed
        {"items": 10**9, "how": "bytes", "size": 10**6, **VIDEO},
    ],
)
def test_a_client_that_leaves_stops_the_model(serve: Serve, kind, where):
    server = serve("--model", MODEL)
    query = str(httpx.QueryParams({**kind, **where}))
    request = f"POST {PATH}?{query} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(request)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    [worker] = server.workers()
    server.wait_for_output(f"finally {worker}")
    assert server.post(PATH, params=kind).status_code == 200
    assert server.workers() == [worker]  # it was not killed


def test_a_slow_reader_does_not_fill_the_memory(serve: Serve):
    server = serve("--model", MODEL)
    before = psutil.Process(server.pid).memory_info().rss
    params = {**VIDEO, "how": "bytes", "size": 10**6, "items": 300}
    with stream(server, **params) as answer:
        pieces = answer.iter_raw()
        assert next(pieces)
        [worker] = map(psutil.Process, server.workers())
        # the model waits until the server reads more
        wait_until(lambda: worker.status() == psutil.STATUS_SLEEPING)
        grown = psutil.Process(server.pid).memory_info().rss - before
        assert grown < 64 * 1024**2
        assert sum(map(len, pieces)) > 200 * 10**6


def test_a_worker_that_dies_in_the_middle(serve: Serve, tmp_path):
    server = serve("--model", MODEL)
    Path(tmp_path, "0").touch()
    with stream(server, folder=tmp_path) as answer:
        lines = answer.iter_lines()
        assert next(lines) == '{"n":0}'
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        assert "SIGKILL" in json.loads(next(lines))["message"]
    assert server.post(PATH).status_code == 200


def test_a_worker_that_dies_while_its_reader_stalls(serve: Serve):
    server = serve("--model", MODEL)
    params = {**VIDEO, "how": "bytes", "size": 2**24, "items": 9, "says": True}
    request = f"POST {PATH}?{httpx.QueryParams(params)} HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", server.port))
        stalled.sendall(request.encode())
        # two pieces are sent, which is one more than the reader's connection holds
        server.wait_for_output("item 2")
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        answer = server.post(PATH, timeout=20)
        assert answer.text == '{"n":0}\n{"n":1}\n{"n":2}\n'
        [replacement] = server.workers()
        assert replacement != worker
        assert stalled.recv(100).startswith(b"HTTP/1.1 200")  # it was there meanwhile


def test_a_stream_that_takes_too_long(serve: Serve):
    server = serve("--model", MODEL, "--predict-timeout", "3")
    with stream(server, sleep=60) as answer:
        _, last = answer.iter_lines()
    assert "took longer than 3 s" in json.loads(last)["message"]


def test_stopping_lets_a_stream_end(serve: Serve, tmp_path):
    server = serve("--model", MODEL)
    Path(tmp_path, "0").touch()
    with stream(server, folder=tmp_path, items=2) as answer:
        lines = answer.iter_lines()
        next(lines)
        os.kill(server.pid, signal.SIGTERM)
        wait_until(server.refuses)
        Path(tmp_path, "1").touch()
        assert list(lines) == ['{"n":1}']
    assert server.wait() == 0


def test_the_stream_of_a_job(server, tmp_path):
    job = server.post(PATH, headers={"Prefer": "respond-async"}).json()["uuid"]
    wait_until(lambda: server.get(f"{PATH}/{job}").json()["status"] == "done")
    result = server.get(f"{PATH}/{job}/result")
    assert result.text == '{"n":0}\n{"n":1}\n{"n":2}\n'
    assert result.headers["Content-Type"] == "application/x-ndjson"
    size = {**VIDEO, "how": "bytes", "size": 3_000_000, "items": 100}
    job = server.post(PATH, headers={"Prefer": "respond-async"}, params=size)
    job = job.json()["uuid"]  # it reports from another thread meanwhile
    wait_until(lambda: server.get(f"{PATH}/{job}").json()["status"] == "done", 30)
    result = server.head(f"{PATH}/{job}/result")
    assert result.headers["Content-Length"] == "300000000"
    params = {"folder": tmp_path}
    Path(tmp_path, "0").touch()
    answer = server.post(PATH, headers={"Prefer": "respond-async"}, params=params)
    job = answer.json()["uuid"]
    wait_until(lambda: server.get(f"{PATH}/{job}").json()["status"] == "running")
    assert server.delete(f"{PATH}/{job}").json()["status"] == "cancelled"
    assert server.post(PATH).status_code == 200


def test_a_reader_who_takes_nothing_is_left(serve: Serve, tmp_path: Path):
    impatient = tmp_path / "impatient"
    impatient.write_text(
        f"#!{sys.executable}\n"
        "from deepaas.api import connection\n"
        "from deepaas.cmd.run import main\n"
        "connection.SEND_TIMEOUT = 0.5\n"
        "main()\n"
    )
    impatient.chmod(0o700)
    server = serve("--model", MODEL, command=impatient)
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", server.port))
        params = httpx.QueryParams(
            {**VIDEO, "how": "bytes", "size": 10**5, "items": 10**5}
        )
        request = f"POST {PATH}?{params} HTTP/1.1\r\nHost: x\r\n\r\n"
        stalled.sendall(request.encode())
        server.wait_for_output("finally")
        assert server.post(PATH).status_code == 200
