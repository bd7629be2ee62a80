"""--reload: changed files of a model reach its workers, and no call is lost."""

from __future__ import annotations

import threading

import pytest

from tests.server import wait_until

MODEL = """\
import os, time
from pathlib import Path
from webargs import fields

def get_predict_args():
    return {{"folder": fields.Str(load_default="")}}

get_train_args = get_predict_args

def wait(folder):
    while folder and not Path(folder, "go").exists():
        time.sleep(0.01)

def predict(folder):
    if folder:
        Path(folder, "begun").touch()
    wait(folder)
    return {value!r}

def train(folder):
    Path(folder, "begun").touch()
    wait(folder)
    return {value!r}
"""


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    file = folder / "reloaded.py"
    file.write_text(MODEL.format(value="one"))
    return file


def value(server, **params):
    answer = server.post("/v2/models/m/predict", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_change(serve, model, workers):
    server = serve(f"--model=m={model}", "--reload", f"--workers={workers}")
    before = server.workers()
    assert value(server) == "one"
    model.write_text(MODEL.format(value="two"))  # of the same size, in the same second
    server.wait_for_output("m: reloaded in")
    assert {value(server) for _ in range(5)} == {"two"}
    wait_until(lambda: not set(before) & set(server.workers()))
    assert len(server.workers()) == workers

    def listed():
        health = server.get("/v2/health/ready").json()
        return len(health["models"]["m"]["workers"])

    wait_until(lambda: listed() == workers)  # an old one is listed a little longer


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("def predict(:\n", "SyntaxError"),
        ("raise RuntimeError('broken')\n", "RuntimeError: broken"),
        ("import os; os._exit(3)\n", "exit code 3"),
    ],
)
def test_a_mistake_keeps_the_workers(serve, model, text, cause):
    server = serve(f"--model=m={model}", "--reload")
    before = server.workers()
    model.write_text(text)
    line = server.wait_for_output("The workers stay as they were.")
    assert cause in line.string
    assert value(server) == "one"
    assert server.workers() == before
    model.write_text(MODEL.format(value="three"))
    server.wait_for_output("m: reloaded in")
    assert value(server) == "three"


def test_calls_that_run_or_wait_meanwhile(serve, model, tmp_path):
    """The old worker finishes its call; those that wait go to the new one."""
    server = serve(f"--model=m={model}", "--reload")
    found = []

    def call(folder):
        found.append(value(server, folder=folder))

    running = threading.Thread(target=call, args=[str(tmp_path)])
    running.start()
    wait_until((tmp_path / "begun").exists)
    waiting = [threading.Thread(target=call, args=[""]) for _ in range(3)]
    for thread in waiting:
        thread.start()
    model.write_text(MODEL.format(value="two"))
    for thread in waiting:
        thread.join(30)
    assert found == ["two"] * 3
    (tmp_path / "go").touch()
    running.join(30)
    assert found == ["two"] * 3 + ["one"]
    wait_until(lambda: len(server.workers()) == 1)


@pytest.mark.parametrize("apart", [0, 1])
def test_a_training_goes_on(serve, model, tmp_path, apart):
    server = serve(f"--model=m={model}", "--reload", f"--train-workers={apart}")
    path = "/v2/models/m/train"
    job = server.post(path, params={"folder": str(tmp_path)}).json()
    wait_until((tmp_path / "begun").exists)
    model.write_text(MODEL.format(value="two"))
    server.wait_for_output("m: reloaded in")
    assert value(server) == "two"
    (tmp_path / "go").touch()
    job_path = f"{path}/{job['uuid']}"
    wait_until(lambda: server.get(job_path).json()["status"] == "done")
    assert server.get(job_path).json()["result"]["output"] == "one"


def test_a_package_and_a_module_of_it(serve, tmp_path):
    package = tmp_path / "packaged"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "inner" / "__init__.py").write_text("value = 1\n")
    (package / "api.py").write_text(
        "from packaged.inner import value\ndef predict(): return value\n"
    )
    server = serve("--model=m=packaged.api", "--reload", cwd=tmp_path)
    assert value(server) == "1"
    (package / "notes.txt").write_text("not Python")
    (package / "inner" / "__init__.py").write_text("value = 2\n")
    line = server.wait_for_output("m: reloading, since .* changed")
    assert "__init__.py" in line.string
    server.wait_for_output("m: reloaded in")
    assert value(server) == "2"


def test_a_stop_while_it_reloads(serve, model):
    server = serve(f"--model=m={model}", "--reload")
    model.write_text("import time\nprint('again', flush=True)\ntime.sleep(60)\n")
    server.wait_for_output("again")
    assert server.stop() == 0


def test_without_watchfiles(fail_to_start, model, tmp_path):
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text("import sys; sys.modules['watchfiles'] = None\n")
    ended = fail_to_start(
        f"--model=m={model}", "--reload", env={"PYTHONPATH": str(tmp_path)}
    )
    assert ended.code == 1
    assert "pip install 'deepaas[reload]'" in ended.stderr
