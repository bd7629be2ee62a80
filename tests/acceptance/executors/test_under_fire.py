"""Killed workers, slow models, clients that leave, servers that stop: no call hangs."""

import concurrent.futures
import contextlib
import os
import re
import resource
import signal
import socket
import time

import httpx
import psutil
import pytest

from tests.conftest import Serve
from tests.server import MODELS, lives, wait_until

SLOW_MODEL = f"slow={MODELS / 'slow.py'}"
PATH = "/v2/models/slow/predict"


@pytest.fixture
def together():
    """Calls a function in threads of its own."""
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        yield pool.submit


def call(server, **params):
    return server.post(PATH, params=params)


def running(server):
    ready = server.get("/v2/health/ready").json()
    workers = ready["models"]["slow"]["workers"]
    return sum(worker["state"] == "busy" for worker in workers)


def test_a_killed_worker_costs_the_call_in_flight_only(serve: Serve, together):
    server = serve("--model", SLOW_MODEL)
    order = []

    def ask(n):
        answer = call(server, n=n, seconds=60 if n == 0 else 0)
        order.append(n)
        return answer

    first = together(ask, 0)
    server.wait_for_output("running 0")
    waiting = []
    for n in range(1, 21):
        # one after the other: the order of their coming is the order of their answers
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(f"POST {PATH}?n={n} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        waiting.append(connection)
        server.get("/v2/")
    [worker] = server.workers()
    os.kill(worker, signal.SIGKILL)
    assert first.result().status_code == 500
    assert "SIGKILL" in first.result().json()["message"]
    for connection in waiting:
        with connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    server.wait_for_output("running 20")
    ran = [line for line in server.output.splitlines() if "] running " in line]
    assert [int(line.rpartition(" ")[2]) for line in ran] == list(range(21))
    assert server.workers() != [worker]


def test_predict_timeout(serve: Serve):
    server = serve("--model", SLOW_MODEL, "--predict-timeout", "2")
    before = server.workers()
    answer = call(server, seconds=60, child=True)
    assert answer.status_code == 504
    assert "2 s" in answer.json()["message"]
    assert call(server, n=3).json()["status"] == "OK"
    assert server.workers() != before


def test_max_queued_and_a_client_that_leaves(serve: Serve, together):
    server = serve("--model", SLOW_MODEL, "--max-queued", "1")
    first = together(call, server, seconds=2)
    server.wait_for_output("running 0")
    with contextlib.suppress(httpx.ReadTimeout):
        server.post(
            PATH, timeout=0.2
        )  # takes the only place in the queue, and leaves it
    wait_until(lambda: call(server, n=1).status_code in (200, 503))
    second = together(call, server, n=2)
    full = [call(server).status_code for _ in range(3)]
    assert first.result().status_code == 200
    assert set(full) <= {200, 503}
    assert second.result().status_code in (200, 503)


def test_a_full_queue_says_when_to_come_back(serve: Serve, together):
    server = serve("--model", SLOW_MODEL, "--max-queued", "0")
    first = together(call, server, seconds=5)
    server.wait_for_output("running 0")
    answer = call(server)
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert first.result().status_code == 200


def test_a_thousand_clients_that_leave(serve: Serve):
    server = serve("--model", SLOW_MODEL)
    request = f"POST {PATH}?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    for _ in range(1000):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request)
    left = time.monotonic()
    assert call(server, n=7).status_code == 200
    assert time.monotonic() - left < 30  # instead of a thousand seconds


def test_a_worker_retires_after_its_calls(serve: Serve, together):
    server = serve(
        "--model", SLOW_MODEL, "--max-calls-per-worker", "5", "--workers", "2"
    )
    answers = [together(call, server, n=n) for n in range(60)]
    assert {answer.result().status_code for answer in answers} == {200}
    pids = [eval(a.result().json()["predictions"])["pid"] for a in answers]
    assert max(pids.count(pid) for pid in pids) <= 5


TRAINS = f"m={MODELS / 'trains.py'}"
TRAIN = "/v2/models/m/train"


def replacements(server):
    """Return how many workers were replaced, by cause."""
    text = server.get("/metrics").text
    found = re.findall(
        r'deepaas_worker_replacements_total{cause="(\w+)".*} (\S+)', text
    )
    return {cause: float(number) for cause, number in found}


def begin_training(server, folder):
    """Start a training that waits for a file; return its id and its worker."""
    [shared] = server.workers()
    job = server.post(TRAIN, params={"steps": 1, "folder": folder}).json()["uuid"]
    wait_until(lambda: server.get(f"{TRAIN}/{job}").json()["status"] == "running")
    [worker] = set(server.workers()) - {shared}
    return job, worker


def test_the_death_of_a_training_worker_is_logged_and_counted(serve: Serve, tmp_path):
    server = serve("--model", TRAINS, "--train-workers", "1", errors_expected=True)
    job, worker = begin_training(server, tmp_path)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: server.get(f"{TRAIN}/{job}").json()["status"] == "error")
    server.wait_for_output(rf"{job}: A worker of m ended: SIGKILL")
    assert replacements(server) == {"died": 1}
    assert server.get("/v2/health/ready").json()["status"] == "ready"


def test_a_training_worker_that_is_ended_is_logged_and_counted(serve: Serve, tmp_path):
    server = serve("--model", TRAINS, "--train-workers", "1")
    job, _ = begin_training(server, tmp_path)
    assert server.delete(f"{TRAIN}/{job}").json()["status"] == "cancelled"
    server.wait_for_output(rf"{job}: A worker of m ended: its call was cancelled\.")
    assert replacements(server) == {"cancelled": 1}


def test_a_training_worker_that_does_not_start_is_logged_and_counted(
    serve: Serve, tmp_path
):
    model = tmp_path / "m.py"
    model.write_text(
        "import os\n"
        f"def warm():\n    if os.path.exists({str(tmp_path / 'lost')!r}): os._exit(7)\n"
        "def train(): pass\n"
    )
    options = ("--model", f"m={model}", "--train-workers", "1")
    server = serve(*options, errors_expected=True)
    (tmp_path / "lost").touch()
    job = server.post(TRAIN).json()["uuid"]
    wait_until(lambda: server.get(f"{TRAIN}/{job}").json()["status"] == "error")
    server.wait_for_output(r"A worker of m ended: exit code 7")
    assert replacements(server) == {"start": 1}
    (tmp_path / "lost").unlink()
    job = server.post(TRAIN).json()["uuid"]
    wait_until(lambda: server.get(f"{TRAIN}/{job}").json()["status"] == "done")
    assert replacements(server) == {"start": 1}  # its exit is not a failure


STRAYS_MODEL = f"m={MODELS / 'strays.py'}"


def start_session(server):
    """Let the worker start a process that leads its own session; return the pid."""
    return int(server.post("/v2/models/m/predict").json()["predictions"])


def test_a_worker_that_retires_ends_processes_of_other_sessions(serve: Serve):
    server = serve("--model", STRAYS_MODEL, "--max-calls-per-worker", "1")
    strays = [start_session(server), start_session(server)]
    wait_until(lambda: not any(map(lives, strays)))


def test_stopping_ends_processes_of_other_sessions(serve: Serve):
    server = serve("--model", STRAYS_MODEL)
    stray = start_session(server)
    assert lives(stray)
    assert server.stop() == 0
    wait_until(lambda: not lives(stray))


def test_no_descriptors_to_start_a_worker_with(serve: Serve):
    server = serve("--model", SLOW_MODEL)
    assert call(server).status_code == 200  # on a connection that stays open
    process = psutil.Process(server.pid)
    before = process.num_fds()
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        [worker] = server.workers()
        os.kill(worker, signal.SIGKILL)
        refused = call(server)  # given up after some tries
        health = server.get("/v2/health/ready")
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
    why = "no process can be started: Too many open files"
    assert refused.status_code == 503
    assert why in refused.json()["message"]
    assert health.status_code == 503
    assert why in health.json()["models"]["slow"]["message"]
    wait_until(lambda: server.get("/v2/health/ready").status_code == 200)
    assert call(server, n=5).json()["status"] == "OK"
    wait_until(lambda: process.num_fds() == before)


def test_a_model_that_cannot_be_warmed_again(serve: Serve, together, tmp_path):
    model = f"m={MODELS / 'warms_once.py'}"
    server = serve("--model", model, env={"WARM_MARK": str(tmp_path / "mark")})
    path = "/v2/models/m/predict"
    answers = [together(server.post, path) for _ in range(5)]
    statuses = sorted(answer.result().status_code for answer in answers)
    assert statuses == [500, 503, 503, 503, 503]
    health = server.get("/v2/health/ready")
    assert health.status_code == 503
    assert "the weights are gone" in health.json()["models"]["m"]["message"]
    again = server.post(path)
    assert again.status_code == 503
    assert "the weights are gone" in again.json()["message"]
    assert "Retry-After" in again.headers


def test_warm_timeout(fail_to_start, tmp_path):
    (tmp_path / "m.py").write_text(
        "import time\ndef warm(): time.sleep(60)\ndef predict(): pass\n"
    )
    model = f"m={tmp_path / 'm.py'}"
    options = ("--model", model, "--model-name", "m", "--warm-timeout", "0.5")
    ended = fail_to_start("--listen-port", "0", *options)
    assert ended.code == 1
    assert "it was not warm after 0.5 s" in ended.stderr


def test_what_models_say_is_in_the_log(serve: Serve):
    server = serve("--model", f"m={MODELS / 'speaks.py'}", "--debug-endpoint")
    for word in ("one", "two"):
        headers = {"X-Request-ID": f"id-{word}"}
        answer = server.post(
            "/v2/models/m/predict", params={"word": word}, headers=headers
        )
        assert answer.json()["predictions"] == word
    debug = server.get("/v2/debug/").text
    for word in ("one", "two"):
        said = ("printed", "on stderr", "INFO model: logged", "written", "unfinished")
        for what in said:
            line = rf"\[m \d+ id-{word}\] {what} {word}$"
            server.wait_for_output(line)
            assert f"id-{word}] {what} {word}\n" in f"{debug}\n"


def test_no_debug_endpoint(serve: Serve):
    server = serve("--model", SLOW_MODEL)
    assert server.get("/v2/debug").status_code == 204


def test_stopping_lets_a_call_end(serve: Serve, together):
    server = serve("--model", SLOW_MODEL)
    answer = together(call, server, seconds=2)
    server.wait_for_output("running 0")
    os.kill(server.pid, signal.SIGTERM)
    wait_until(server.refuses)
    assert answer.result().status_code == 200
    assert server.wait() == 0


def test_stopping_has_a_time_limit(serve: Serve, together):
    server = serve("--model", SLOW_MODEL, "--shutdown-grace", "1")
    answer = together(call, server, seconds=60, child=True)
    server.wait_for_output("running 0")
    asked = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - asked < 10
    with contextlib.suppress(httpx.TransportError):
        assert answer.result().status_code == 503


def test_a_second_signal_stops_at_once(serve: Serve, together):
    server = serve("--model", SLOW_MODEL)
    answer = together(call, server, seconds=60)
    server.wait_for_output("running 0")
    os.kill(server.pid, signal.SIGTERM)
    wait_until(server.refuses)
    assert server.stop() == 0
    with contextlib.suppress(httpx.TransportError):
        assert answer.result().status_code == 503


@pytest.mark.parametrize("holding", [False, True])
def test_a_killed_server_leaves_no_process(serve: Serve, together, holding):
    server = serve("--model", SLOW_MODEL)
    answer = together(call, server, seconds=60, child=True, holding=holding)
    server.wait_for_output("running 0") if not holding else wait_until(
        lambda: running(server) == 1 and len(server.family()) == 2
    )
    family = server.family()
    assert len(family) == 2
    server.kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    with pytest.raises(httpx.TransportError):
        answer.result()
