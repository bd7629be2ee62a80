"""Signals, and killed processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import psutil
import pytest

from tests.acceptance.cli.conftest import HERE, running
from tests.server import MODELS, lives, wait_until


def begun(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Wait until a call of `steps` runs; give every process of it."""
    assert process.stderr is not None
    for line in process.stderr:
        if b"step 1 begins" in line:
            return psutil.Process(process.pid).children(recursive=True)
    raise AssertionError("it ended before its time")


def all_gone(processes: list[psutil.Process]) -> None:
    wait_until(lambda: not any(lives(process.pid) for process in processes))


@pytest.mark.parametrize("place", [(), (HERE,)])
@pytest.mark.parametrize("command", ["predict", "train"])
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal(cli, tmp_path, number, code, command, place):
    out = tmp_path / "out"
    call = (f"--model=m={MODELS / 'steps.py'}", f"--output={out}", *place, command)
    # the tests themselves may run under nohup
    heard = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with running(cli.start(*call, f"--folder={tmp_path}", **heard)) as process:
        family = begun(process)
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    name = signal.Signals(number).name
    # In this process, the model's child is in the group, and may print the last line.
    assert f"deepaas-cli: interrupted by {name}" in stderr.decode().splitlines()
    assert b"deepaas/cmd/cli.py" not in stderr
    if command == "train":
        assert json.loads(stdout)["status"] == "cancelled"
    else:
        assert stdout == b""
    all_gone(family)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_a_signal_while_it_warms(cli, place):
    call = (f"--model=m={MODELS / 'warm_sleeps.py'}", *place, "predict")
    with running(cli.start(*call)) as process:
        assert process.stderr is not None
        assert any(b"warming" in line for line in process.stderr)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"deepaas-cli: interrupted by SIGINT\n"
    all_gone(family)


STUBBORN = """
import time

def hold():
    try:
        print("begun", flush=True)
        time.sleep(40)
    except BaseException:
        return 1

def predict():
    return 1

"""


@pytest.mark.parametrize(
    ("place", "rest"),
    [
        ((HERE,), "predict = hold"),
        ((HERE,), "warm = hold"),
        ((HERE,), "def predict():\n    hold()\n    raise ValueError"),
        ((HERE,), "def predict():\n    hold()\n    raise SystemExit"),
        ((HERE,), "def predict():\n    yield hold()"),
        ((HERE,), "hold()"),
        ((), "hold()"),
    ],
)
def test_a_signal_that_the_model_catches(cli, place, rest):
    call = (cli.written(STUBBORN + rest), *place, "predict")
    with running(cli.start(*call)) as process:
        assert process.stderr is not None
        assert any(b"begun" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"deepaas-cli: interrupted by SIGINT\n"


def test_nohup(cli, tmp_path):
    call = (f"--model=m={MODELS / 'steps.py'}", "train", f"--folder={tmp_path}")
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with running(cli.start(*call, "--steps=1", **ignore)) as process:
        begun(process)
        process.send_signal(signal.SIGHUP)
        (tmp_path / "1").touch()
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(stdout)["status"] == "done"


def test_a_worker_that_is_killed(cli, tmp_path):
    call = (f"--model=m={MODELS / 'steps.py'}", "predict", f"--folder={tmp_path}")
    with running(cli.start(*call)) as process:
        family = begun(process)
        [worker] = psutil.Process(process.pid).children()
        worker.kill()
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (1, b"")
    assert stderr.decode().splitlines()[-1] == (
        "deepaas-cli: The worker died in the call: SIGKILL (out of memory?)."
    )
    all_gone(family)


def test_the_worker_ends_with_a_killed_command(cli, tmp_path):
    call = (f"--model=m={MODELS / 'steps.py'}", "predict", f"--folder={tmp_path}")
    with running(cli.start(*call)) as process:
        family = begun(process)
        process.kill()
        process.communicate(timeout=30)
    all_gone(family)
