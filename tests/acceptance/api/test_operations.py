"""Operation: metrics, health, the access log."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Serve
from tests.server import MODELS, Server, wait_until

HOST = socket.gethostname()


def model(name: str) -> str:
    return f"--model={name}={MODELS / name}.py"


class Samples(dict):
    """The samples of /metrics: numbers by the name and the values of the labels."""

    def __init__(self, server: Server) -> None:
        text = server.get("/metrics").text
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.values()))
                self[key] = sample.value

    def of(self, name: str, *labels: str) -> float | None:
        return self.get((name, frozenset(labels)))


def test_metrics_of_calls(serve: Serve, promtool):
    server = serve(
        *(model("failing"), model("slow"), model("trainable")),
        *("--predict-timeout", "3", "--debug-endpoint"),
        errors_expected=True,
    )
    failing, slow = "/v2/models/failing/predict", "/v2/models/slow/predict/"
    assert server.post(failing, params={"how": "nothing"}).status_code == 200
    assert server.post(failing, params={"how": "value"}).status_code == 500
    assert server.post(failing, params={"how": "SIGKILL"}).status_code == 500
    assert server.post(slow, params={"seconds": 30}).status_code == 504
    assert server.post(slow, params={"seconds": "x"}).status_code == 422
    assert server.get("/no/such/place").status_code == 404
    assert server.client.request("PROPFIND", "/").status_code == 405
    job = server.post("/v2/models/trainable/train/").json()
    place = f"/v2/models/trainable/train/{job['uuid']}"
    wait_until(lambda: server.get(place).json()["status"] == "done")
    wait_until(lambda: server.get("/v2/health/ready").status_code == 200)
    found = Samples(server)
    expected = {
        ("deepaas_calls_total", "failing", "predict", "200"): 1,
        ("deepaas_calls_total", "failing", "predict", "500"): 2,
        ("deepaas_calls_total", "slow", "predict", "504"): 1,
        ("deepaas_calls_total", "trainable", "train", "200"): 1,
        ("deepaas_call_run_seconds_count", "failing", "predict"): 3,
        ("deepaas_call_queue_seconds_count", "slow", "predict"): 1,
        ("deepaas_worker_replacements_total", "failing", "died"): 1,
        ("deepaas_worker_replacements_total", "slow", "timeout"): 1,
        ("deepaas_workers", "slow", "idle"): 1,
        ("deepaas_calls_waiting", "slow", "predict"): 0,
        ("deepaas_calls_running", "slow", "predict"): 0,
        ("deepaas_jobs", "trainable", "train", "done"): 1,
        (
            "deepaas_requests_total",
            *("POST", "/v2/models/{model}/predict", "422"),
        ): 1,
        ("deepaas_requests_total", "GET", "unknown", "404"): 1,
        ("deepaas_requests_total", "other", "unknown", "405"): 1,
    }
    assert {key: found.of(*key) for key in expected} == expected
    assert 2.9 < found.of("deepaas_call_run_seconds_sum", "slow", "predict") < 10
    assert found.of("deepaas_worker_memory_bytes", "slow", "0", HOST) > 5e6
    assert found.of("process_resident_memory_bytes") > 5e6
    answer = server.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=answer.content,
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_a_call_that_is_refused_has_not_waited(serve: Serve, tmp_path):
    server = serve(model("trains"), "--max-queued", "0")
    path = "/v2/models/trains/predict/"
    running = ("deepaas_calls_running", "trains", "predict")
    with ThreadPoolExecutor() as threads:
        first = threads.submit(server.post, path, params={"folder": tmp_path})
        wait_until(lambda: Samples(server).of(*running) == 1)
        refused = server.post(path)
        (tmp_path / "go").touch()
        assert refused.status_code == 503
        assert first.result().status_code == 200
    found = Samples(server)
    assert found.of("deepaas_calls_total", "trains", "predict", "503") == 1
    assert found.of("deepaas_call_queue_seconds_count", "trains", "predict") == 1


def test_the_gpus_of_workers(serve: Serve):
    server = serve(model("slow"), "--workers=2", "--gpus=a,b", "--train-workers=1")
    found = Samples(server)
    for place, gpu in enumerate("ab"):
        assert found.of("deepaas_worker_gpu", "slow", str(place), gpu, HOST) == 1
    assert found.of("deepaas_model_ready", "slow") == 1
    assert "_created" not in server.get("/metrics").text


def test_bytes_in_and_out(serve: Serve):
    server = serve(model("upload"))
    path = "/v2/models/upload/predict"
    answer = server.post(path, files={"file": ("a", b"x" * 100_000)})
    found = Samples(server)
    route = "/v2/models/{model}/predict"
    assert found.of("deepaas_request_bytes_total", route) > 100_000
    assert found.of("deepaas_response_bytes_total", route) > len(answer.content)


def test_what_waits_and_runs(serve: Serve):
    server = serve(model("slow"))
    path = "/v2/models/slow/predict/"
    jobs = [
        server.post(path, params={"seconds": 30}, headers={"Prefer": "respond-async"})
        for _ in range(3)
    ]
    running = ("deepaas_jobs", "slow", "predict", "running")
    wait_until(lambda: Samples(server).of(*running) == 1)
    found = Samples(server)
    assert found.of("deepaas_calls_running", "slow", "predict") == 1
    assert found.of("deepaas_calls_waiting", "slow", "predict") == 2
    assert found.of("deepaas_workers", "slow", "busy") == 1
    for job in jobs:
        server.delete(urljoin(path, job.headers["Location"]))
    found = Samples(server)
    assert found.of("deepaas_calls_total", "slow", "predict", "499") == 3


def test_health(serve: Serve):
    server = serve(model("slow"))
    for path in ("/v2/models/slow/ready", "/v2/models/slow/ready/"):
        answer = server.get(path)
        assert answer.status_code == 200
        [worker] = answer.json()["workers"]
        assert worker["state"] == "idle"
        assert worker["pid"] == server.workers()[0]
        assert worker["memory"] > 5e6
        assert worker["since"] >= 0
        assert server.head(path).status_code == 200
    unknown = server.get("/v2/models/nobody/ready")
    assert unknown.status_code == 404
    assert "nobody" in unknown.json()["message"]


def test_the_access_log(serve: Serve):
    server = serve(model("slow"))
    headers = {"X-Request-ID": "mine-1"}
    answer = server.post("/v2/models/slow/predict/?seconds=0.2", headers=headers)
    found = server.wait_for_output(
        r'127\.0\.0\.1 mine-1 "POST /v2/models/slow/predict/" 200 (\d+) (\S+) '
        r"slow waited (\S+) ran (\S+)"
    )
    assert int(found[1]) > len(answer.content)  # the head counts
    assert 0.2 <= float(found[4]) <= float(found[2])
    answer = server.post(
        "/v2/models/slow/predict/", headers={**headers, "Prefer": "respond-async"}
    )
    server.wait_for_output(f"mine-1 .* 202 .* job {answer.json()['uuid']}")
    server.get("/v2/")
    server.wait_for_output(r'127\.0\.0\.1 [0-9a-f]{32} "GET /v2/" 200')


def test_a_caller_who_leaves(serve: Serve):
    """The caller leaves before the answer, or in its middle."""
    server = serve(model("slow"), model("yields"))
    request = b"POST /v2/models/slow/predict/?seconds=3 HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(request)
        server.wait_for_output("running 0")
    server.wait_for_output('"POST /v2/models/slow/predict/" 499 0 .* slow waited')
    path = "/v2/models/yields/predict/"
    params = {"items": 100, "sleep": 0.2}
    with server.client.stream("POST", path, params=params) as answer:
        next(answer.iter_raw())
    found = server.wait_for_output(f'"POST {path}" 499 (\\d+) ')
    assert int(found[1]) > 0
    counted = ("POST", "/v2/models/{model}/predict", "499")
    assert Samples(server).of("deepaas_requests_total", *counted) == 2


@pytest.mark.parametrize("how", ["nothing", "value"])
def test_the_log_as_json(serve: Serve, how):
    server = serve(model("failing"), "--use-json", errors_expected=True)
    headers = {"X-Request-ID": "mine-2"}
    server.post(f"/v2/models/failing/predict?how={how}", headers=headers)
    server.wait_for_output("aiohttp.access")
    lines = [json.loads(line) for line in server.stderr.splitlines()]
    mine = [line for line in lines if line["extra"].get("request_id") == "mine-2"]
    [access] = [line for line in mine if line["name"] == "aiohttp.access"]
    facts = access["extra"]
    assert facts["model"] == "failing"
    assert facts["ran"] > 0
    assert facts["address"] == "127.0.0.1"
    assert facts["method"] == "POST"
    assert facts["path"] == "/v2/models/failing/predict"
    assert facts["status"] == (500 if how == "value" else 200)
    assert facts["bytes"] > 100
    assert facts["seconds"] >= facts["ran"]
    about = [line for line in lines if re.search("mine-2", line["message"])]
    assert about == mine
    assert len(mine) == (2 if how == "value" else 1)


def test_what_a_model_says_as_json(serve: Serve):
    server = serve(model("slow"), "--use-json")
    headers = {"X-Request-ID": "mine-3"}
    server.post("/v2/models/slow/predict/?n=7", headers=headers)
    said = server.wait_for_output(r"^\{.*running 7.*$")
    line = json.loads(said[0])
    [worker] = server.workers()
    facts = {"model": "slow", "worker": worker, "host": HOST, "request_id": "mine-3"}
    assert line["extra"].items() >= facts.items()


def test_the_grace_is_not_exceeded(serve: Serve):
    """A call that runs after the grace period gets an answer, and a stream ends."""
    server = serve(model("slow"), model("yields"), "--shutdown-grace", "1")
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(server.post, "/v2/models/slow/predict/?seconds=50")
        server.wait_for_output("running 0")
        params = {"items": 1000, "sleep": 0.1}
        path = "/v2/models/yields/predict/"
        with server.client.stream("POST", path, params=params) as answer:
            pieces = answer.iter_lines()
            next(pieces)
            os.kill(server.pid, signal.SIGTERM)
            *_, last = pieces
    assert slow.result().status_code == 503
    assert "stopping" in slow.result().json()["message"]
    assert "stopping" in json.loads(last)["message"]
    assert server.wait(10) == 0


def readiness(server: Server) -> set[int]:
    paths = ("/v2/health/ready", "/v2/models/slow/ready")
    return {server.get(path).status_code for path in paths}


def test_calls_are_answered_before_the_port_is_closed(serve: Serve):
    server = serve(model("slow"), "--drain-delay", "6")
    assert readiness(server) == {200}
    os.kill(server.pid, signal.SIGTERM)
    wait_until(lambda: readiness(server) == {503})
    answer = server.get("/v2/health/ready").json()
    assert answer["status"] == "not ready"
    assert answer["models"]["slow"]["message"] == "The server is stopping."
    assert server.get("/v2/health/live").status_code == 200
    answer = httpx.post(f"{server.url}/v2/models/slow/predict/", trust_env=False)
    assert answer.status_code == 200
    wait_until(server.refuses)
    assert server.wait(10) == 0
    assert "The port is closed in 6 s; readiness is 503 until then." in server.stderr


def test_a_call_that_comes_late_is_finished(serve: Serve):
    """The grace period counts from the closing of the port."""
    server = serve(model("slow"), "--drain-delay", "4", "--shutdown-grace", "20")
    os.kill(server.pid, signal.SIGTERM)
    wait_until(lambda: readiness(server) == {503})
    answer = server.post("/v2/models/slow/predict/", params={"seconds": 5})
    assert answer.status_code == 200
    assert server.wait(10) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_delay(serve: Serve, second):
    server = serve(model("slow"), "--drain-delay", "600")
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(server.post, "/v2/models/slow/predict/?seconds=50")
        server.wait_for_output("running 0")
        os.kill(server.pid, signal.SIGTERM)
        wait_until(lambda: readiness(server) == {503})
        os.kill(server.pid, second)
        assert server.wait(10) == 0
    assert slow.result().status_code == 503


@pytest.mark.parametrize("request_", [b"", b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_a_connection_may_be_idle_for_so_long(serve: Serve, request_):
    server = serve(model("slow"), "--keepalive-timeout", "1.5")
    since = time.monotonic()  # the server begins to count later
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as caller:
        caller.sendall(request_)
        if request_:
            assert caller.recv(65536).startswith(b"HTTP/1.1 200")
        assert caller.recv(1) == b""
        assert 1 < time.monotonic() - since < 20


@pytest.mark.parametrize(
    "option", ["--keepalive-timeout=0", "--keepalive-timeout=x", "--drain-delay=-1"]
)
def test_times_that_cannot_be(fail_to_start, option):
    ended = fail_to_start(model("slow"), option)
    assert (ended.code, ended.stdout) == (1, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"deepaas-run: {option.replace('=', ' ')}: it is ")


def test_no_grace_at_all(serve: Serve):
    server = serve(model("slow"), "--shutdown-grace", "0")
    with ThreadPoolExecutor() as threads:
        slow = threads.submit(server.post, "/v2/models/slow/predict/?seconds=50")
        server.wait_for_output("running 0")
        os.kill(server.pid, signal.SIGTERM)
        assert server.wait(10) == 0
    assert slow.result().status_code == 503


def test_predictions_that_wait_for_a_training(serve: Serve, tmp_path):
    """Readiness tells of a training that shares the only worker."""
    server = serve(model("trains"), "--train-workers=0")
    path = "/v2/health/ready"
    assert "message" not in server.get(path).json()["models"]["trains"]
    params = {"steps": 1, "folder": tmp_path}
    job = server.post("/v2/models/trains/train", params=params).json()["uuid"]
    message = "The model trains; predictions wait until it has ended."

    def says():
        return server.get(path).json()["models"]["trains"].get("message") == message

    wait_until(says)
    assert server.get(path).status_code == 200
    (tmp_path / "1").touch()
    wait_until(lambda: not says())
    job_path = f"/v2/models/trains/train/{job}"
    wait_until(lambda: server.get(job_path).json()["status"] == "done")


def test_predictions_that_do_not_wait(serve: Serve, tmp_path):
    server = serve(model("trains"))
    params = {"steps": 1, "folder": tmp_path}
    job = server.post("/v2/models/trains/train", params=params).json()["uuid"]
    job_path = f"/v2/models/trains/train/{job}"
    wait_until(lambda: server.get(job_path).json()["status"] == "running")
    assert "message" not in server.get("/v2/health/ready").json()["models"]["trains"]
    assert server.post("/v2/models/trains/predict").status_code == 200
    (tmp_path / "1").touch()
    wait_until(lambda: server.get(job_path).json()["status"] == "done")
