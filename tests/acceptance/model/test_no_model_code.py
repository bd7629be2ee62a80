"""The server runs no code of a model's: what it does to its process stays there."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import MODELS, Server, prediction, wait_until

PREDICT = "/v2/models/m/predict/"

UNKIND = {
    "environment": "import os\nos.environ.pop('TEST_TOKEN')\n"
    "os.environ['TMPDIR'] = '/'",
    "folder": "import os\nos.chdir('weights')",
    "logging": "import logging, logging.config\n"
    "logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})\n"
    "logging.basicConfig(force=True, filename='/dev/null')\nlogging.disable()",
    "sockets": "import socket\nsocket.setdefaulttimeout(0.001)",
    "thread": "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(3600,)).start()",
    "stdout": "import sys\nclass Tee:\n    def write(self, text): raise OSError\n"
    "sys.stdout = Tee()",
    "warnings": "import warnings\nwarnings.simplefilter('error')",
    "signals": "import signal\nfor n in (1, 2, 15, 17):\n"
    "    signal.signal(n, signal.SIG_IGN)",
    "patch": "import select, socket, threading, time\n"  # as gevent patches them
    "class Patched(socket.socket):\n"
    "    def recv(self, *_): raise OSError\n"
    "    recv_into = sendall = send = connect = accept = recv\n"
    "def fails(*_, **__): raise OSError\n"
    "socket.socket = Patched\n"
    "threading.Thread.start = select.select = time.sleep = fails\n"
    "threading.Lock = threading.RLock = threading.Condition = fails",
    "gevent": "from gevent import monkey\nmonkey.patch_all()",
    "random": "import random\nrandom.seed(42)",
    "policy": "import asyncio\n"
    "class Policy(asyncio.DefaultEventLoopPolicy):\n"
    "    def new_event_loop(self): raise OSError\n"
    "asyncio.set_event_loop_policy(Policy())",
}

BODY = """
import os
from marshmallow import fields
def get_predict_args():
    return {"n": fields.Int(load_default=1), "dies": fields.Bool(load_default=False)}
def predict(n, dies):
    if dies:
        os.kill(os.getpid(), 9)
    return n
"""


@pytest.mark.parametrize("trait", UNKIND)
def test_what_a_model_does_to_its_process(serve: Serve, tmp_path, trait):
    if trait == "gevent":
        pytest.importorskip("gevent")
    (tmp_path / "weights").mkdir()
    (tmp_path / "unkind_top.py").write_text(f"{UNKIND[trait]}\n{BODY}")
    server = serve(
        "--model=m=unkind_top.py",
        cwd=tmp_path,
        env={"TEST_TOKEN": "secret"},
        errors_expected=True,
    )
    first = server.workers()
    for _ in range(2):  # a replacement behaves as the first worker
        assert server.post(PREDICT, params={"dies": "1"}).status_code == 500
        assert prediction(server.post(PREDICT, params={"n": "7"})) == "7"
    assert not set(first) & set(server.workers())
    assert server.get("/swagger.json").status_code == 200
    assert server.get("/openapi.json").status_code == 200
    assert server.get("/v2/models/m/").json()["name"] == "m"
    server.wait_for_output("SIGKILL")  # the log is still written
    assert os.readlink(f"/proc/{server.pid}/cwd") == str(tmp_path)
    assert server.stop() == 0  # and nothing keeps the process


def test_request_ids_differ_after_a_restart(serve: Serve, tmp_path):
    (tmp_path / "seeds.py").write_text(f"{UNKIND['random']}\n{BODY}")
    ids = []
    for _ in range(2):
        server = serve("--model=m=seeds.py", cwd=tmp_path)
        ids.append(server.post(PREDICT).headers["X-Request-ID"])
        server.stop()
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    "top", ["import os; os._exit(3)", "import os; os.kill(os.getpid(), 11)"]
)
def test_an_import_that_ends_its_process(fail_to_start, tmp_path, top):
    (tmp_path / "ends.py").write_text(f"{top}\n{BODY}")
    ended = fail_to_start("--model=m=ends.py", cwd=tmp_path)
    assert ended.code == 1
    assert "The model 'm' cannot be served: " in ended.stderr
    assert "exit code 3" in ended.stderr or "SIGSEGV" in ended.stderr


# The author's own code


@pytest.fixture
def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


def pids(state: Path) -> list[int]:
    return [int(line) for line in (state / "pids").read_text().split()]


def own_code(serve: Serve, state: Path, *options: str) -> Server:
    model = f"--model=m={MODELS / 'own_code.py'}"
    return serve(model, *options, env={"OWN_CODE_STATE": str(state)})


def test_own_classes_load_where_the_model_is(serve: Serve, state):
    server = own_code(serve, state)
    values = {"n": 2, "mode": "exact", "point": {"x": 3}, "small": "4"}
    answer = prediction(server.post(PREDICT, json=values))
    assert '"n":2,"mode":"EXACT","x":3,"small":4' in answer
    for values, messages in (
        ({"n": 1}, {"n": ["Must be even."]}),
        ({"small": 11, "n": "x"}, None),
        ({"mode": "none"}, {"mode": ["Must be one of: fast, exact."]}),
        ({"point": {}}, {"point": {"x": ["Missing data for required field."]}}),
    ):
        answer = server.post(PREDICT, json=values)
        assert answer.status_code == 422
        assert answer.json().keys() == (messages or {"small": 0, "n": 0}).keys()
        assert messages in (None, answer.json())
    job = server.post(
        PREDICT, json={"secret": "word"}, headers={"Prefer": "respond-async"}
    ).json()
    assert job["args"]["secret"] == "***"
    assert job["args"]["n"] == 0
    document = server.get("/swagger.json").json()
    names = {p["name"] for p in document["paths"][PREDICT]["post"]["parameters"]}
    assert "n" in names
    # The worker, and a describer for the arguments.
    assert len(set(pids(state))) == 2
    assert server.pid not in pids(state)


def test_a_refusal_comes_while_the_only_worker_computes(serve: Serve, state):
    server = own_code(serve, state)
    long = threading.Thread(
        target=lambda: server.post(PREDICT, json={"seconds": 3, "n": 2})
    )
    long.start()
    wait_until(lambda: len(set(pids(state))) == 2)
    wait_until(
        lambda: (
            server.get("/v2/health/ready").json()["models"]["m"]["workers"][0]["state"]
            == "busy"
        )
    )
    began = time.monotonic()
    assert server.post(PREDICT, json={"n": 1}).status_code == 422
    assert time.monotonic() - began < 0.2 * 5  # for a machine that does other work
    long.join()


def test_no_module_of_the_model_is_in_the_server(serve: Serve, state):
    """A module of a package of C code would be mapped into the process."""
    server = own_code(serve, state)
    server.post(PREDICT, json={"n": 2})
    server.get("/swagger.json")
    server.get("/v2/models/m/")
    os.kill(server.pid, signal.SIGHUP)
    server.post("/v2/models/m/train/", json={"name": "a"})
    wait_until(lambda: len(set(pids(state))) >= 3)
    assert server.pid not in pids(state)


# Arguments that change


def weights(serve: Serve, state: Path, *options: str) -> Server:
    (state / "one.weights").write_text("")
    model = f"--model=m={MODELS / 'weights.py'}"
    return serve(model, *options, env={"WEIGHTS_STATE": str(state)})


def listed(server: Server) -> list[str]:
    document = server.get("/swagger.json").json()
    (argument,) = document["paths"][PREDICT]["post"]["parameters"]
    return argument["enum"]


@pytest.mark.parametrize("options", [(), ("--train-workers=1",)])
@pytest.mark.parametrize("name", ["weights", "own_code"])
def test_weights_of_a_training_can_be_chosen(serve: Serve, state, options, name):
    start = weights if name == "weights" else own_code
    server = start(serve, state, *options)
    (state / "one.weights").write_text("")
    assert server.post(PREDICT, json={"weights": "two"}).status_code == 422
    if name == "weights":
        assert listed(server) == ["one"]
    train = "/v2/models/m/train/"
    uuid = server.post(train, json={"name": "two", "remove": "one"}).json()["uuid"]
    wait_until(lambda: server.get(f"{train}{uuid}").json()["status"] == "done")
    assert server.post(PREDICT, json={"weights": "two"}).status_code == 200
    if name == "weights":
        assert listed(server) == ["two"]
    assert server.post(PREDICT, json={"weights": "one"}).status_code == 422
    assert server.pid not in pids(state)


def test_arguments_are_read_again_on_a_hangup(serve: Serve, state):
    server = weights(serve, state)
    assert listed(server) == ["one"]
    (state / "two.weights").write_text("")
    os.kill(server.pid, signal.SIGHUP)
    wait_until(lambda: listed(server) == ["one", "two"])
    assert server.post(PREDICT, json={"weights": "two"}).status_code == 200


def test_a_training_that_breaks_the_model_leaves_what_is_known(serve: Serve, state):
    model = (MODELS / "weights.py").read_text()
    path = state / "breaks.py"
    path.write_text(
        model.replace("FOUND = ", "assert len(os.listdir(STATE)) < 4\nFOUND = ")
    )
    (state / "one.weights").write_text("")
    server = serve(f"--model=m={path}", env={"WEIGHTS_STATE": str(state)})
    (state / "more").write_text("")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_output("cannot be read again: .*AssertionError")
    assert listed(server) == ["one"]
    assert server.post(PREDICT, json={"weights": "one"}).status_code == 200


# Metadata


def test_metadata_is_out_of_the_way_of_calls(serve: Serve, tmp_path):
    path = tmp_path / "slow_metadata.py"
    path.write_text(
        "import os, time\nfrom pathlib import Path\n"
        f"WAIT = Path({str(tmp_path / 'wait')!r})\n"
        "def get_metadata():\n"
        "    while WAIT.exists():\n        time.sleep(0.01)\n"
        "    return {'description': 'known', 'pid': os.getpid()}\n"
        "def predict():\n    return os.getpid()\n"
    )
    server = serve(f"--model=m={path}")
    (worker,) = server.workers()
    model = "/v2/models/m/"
    assert server.get(model).json()["pid"] == worker  # it was idle
    (tmp_path / "wait").touch()
    began = time.monotonic()
    assert server.get(model).json()["description"] == "known"
    assert time.monotonic() - began < 5
    assert prediction(server.post(PREDICT)) == str(worker)
    (tmp_path / "wait").unlink()
    wait_until(lambda: server.get(model).json()["pid"] != worker)
