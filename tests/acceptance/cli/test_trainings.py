"""Trainings, their progress, and terminals."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import termios

import pytest

from tests.acceptance.cli.conftest import HERE, running
from tests.server import MODELS


def test_a_training(cli, tmp_path):
    out = f"--output={tmp_path / 'out'}"
    done = cli.model("steps", out, "train", "--steps=2", "--password=secret")
    job = done.json()
    assert json.loads((tmp_path / "out.json").read_bytes()) == job
    assert set(job) == {
        *("uuid", "model", "date", "args", "status", "progress", "result")
    }
    assert re.fullmatch("[0-9a-f]{32}", job["uuid"])
    assert job["model"] == "steps"
    assert job["status"] == "done"
    assert job["args"] == {
        "steps": 2,
        "folder": "",
        "fail": False,
        "password": "***",
    }
    assert job["progress"]["step"] == job["progress"]["total"] == 2
    assert job["progress"]["metrics"] == {"loss": 0.5}
    assert job["result"]["output"] == {"steps": 2}
    assert job["result"]["duration"] >= 0
    assert job["date"] < job["result"]["finish_date"]
    assert "secret" not in done.stderr


def test_a_training_with_the_deepest_output(cli):
    job = cli.model("trains", "train", "--result=deepest").json()
    assert job["result"]["output"] == json.loads("[" * 254 + "]" * 254)


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_a_training_that_fails(cli, place):
    done = cli.model("steps", *place, "train", "--fail=true")
    assert done.code == 1
    job = json.loads(done.stdout)
    assert job["status"] == "error"
    assert job["message"] == "ValueError: no luck"
    assert done.stderr.splitlines()[-1] == "deepaas-cli: ValueError: no luck"


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_progress_in_lines(cli, place):
    done = cli.model("steps", *place, "train", "--steps=4")
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert "step 1 of 4, loss 1" in lines
    assert "step 4 of 4, loss 0.25" in lines


class Terminal:
    """A terminal and its output."""

    def __init__(self, columns: int) -> None:
        self._master, self.slave = pty.openpty()
        size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)
        self._shown = b""

    def wait_for(self, text: str) -> None:
        while text.encode() not in self._shown:
            self._shown += os.read(self._master, 65536)

    def read_to_end(self) -> str:
        os.close(self.slave)
        with contextlib.suppress(OSError):  # Linux: everyone has closed it
            while data := os.read(self._master, 65536):
                self._shown += data
        os.close(self._master)
        return self._shown.decode()


@pytest.mark.parametrize("place", [(), (HERE,)])
@pytest.mark.parametrize("columns", [0, 70])
def test_a_progress_bar_on_a_terminal(cli, tmp_path, columns, place):
    terminal = Terminal(columns)
    call = (f"--model=m={MODELS / 'steps.py'}", *place, "train")
    call = (*call, f"--folder={tmp_path}")
    with running(cli.start(*call, stderr=terminal.slave)) as process:
        for step in 1, 2, 3:
            terminal.wait_for(f"| {step}/3 ")
            (tmp_path / str(step)).touch()
        job = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 0
    assert job["status"] == "done"
    shown = terminal.read_to_end()
    assert "100%|" in shown
    assert "loss 0.3333" in shown


def test_a_picture_is_not_for_a_terminal(cli):
    terminal = Terminal(80)
    call = ("predict", "--what=dict", "--accept=image/png")
    # It is refused before the model is called, which would fail.
    done = cli.model("returns", *call, stdout=terminal.slave)
    assert done.code == 2
    assert done.stderr == (
        "deepaas-cli: argument --output: "
        "Needed for a result of type image/png (or a pipe).\n"
    )
    bytes_ = cli.model("returns", "predict", "--what=bytes", stdout=terminal.slave)
    assert bytes_.code == 2
    text = cli.model(
        *("returns", "predict", "--what=str", "--accept=text/csv"),
        stdout=terminal.slave,
    )
    assert text.code == 0
    assert terminal.read_to_end() == "text"
