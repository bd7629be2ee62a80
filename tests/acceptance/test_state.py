"""The folder of the jobs: the default, its replacement, and one that is named."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.server import DEEPAAS_RUN, free_port, wait_until

MODEL = "--model=trainable=tests/models/trainable.py"
TRAIN = "/v2/models/trainable/train/"
WARNING = (
    r"WARNING .*Jobs are kept in (\S+) and lost when the server stops: "
    r"(.+) cannot be used \((.+)\); choose a folder with --state-dir\."
)

UNFIT = {
    "in a file system without folders": ({"HOME": "/proc/none"}, "/proc/none"),
    "below a file": ({"HOME": "/dev/null"}, "/dev/null"),
    "relative": ({"HOME": "home"}, "home"),
    "state below a file": ({"XDG_STATE_HOME": "/dev/null/state"}, "/dev/null/state"),
    "state not absolute": ({"XDG_STATE_HOME": "x", "HOME": "/dev/null"}, "/dev/null"),
}


def train(server) -> None:
    job = server.post(TRAIN).json()
    assert server.get(TRAIN).json()[0]["uuid"] == job["uuid"]
    place = f"{TRAIN}{job['uuid']}"
    wait_until(lambda: server.get(place).json()["status"] == "done")


@pytest.mark.parametrize("case", UNFIT)
def test_a_default_folder_that_cannot_be_made(serve, case):
    variables, named = UNFIT[case]
    server = serve(MODEL, env=variables)
    found = server.wait_for_output(WARNING)
    assert found[2].startswith(named)
    folder = Path(found[1])
    assert folder.is_relative_to(server.temporary)
    assert (folder / "jobs.sqlite").exists()
    train(server)
    assert server.stop() == 0
    assert not folder.exists()


def test_a_default_folder_that_is_not_a_folder(serve, tmp_path):
    taken = tmp_path / "deepaas"
    taken.touch()
    server = serve(MODEL, env={"XDG_STATE_HOME": str(tmp_path)})
    found = server.wait_for_output(WARNING)
    assert found[3] in ("Not a directory", "File exists")
    train(server)


def test_a_folder_whose_name_is_not_utf_8(serve, tmp_path):
    home = os.fsdecode(bytes(tmp_path) + b"/\xff")
    server = serve(MODEL, env={"HOME": home})
    assert re.search(WARNING, server.stderr) is None
    train(server)
    assert os.listdir(f"{home}/.local/state/deepaas") == [str(server.port)]


def test_the_start_fails_without_a_leftover(fail_to_start, tmp_path):
    model = "--model=broken=tests/models/broken_import.py"
    ended = fail_to_start(model, env={"HOME": "/dev/null", "TMPDIR": str(tmp_path)})
    assert ended.code == 1
    assert [*tmp_path.rglob("deepaas-state-*")] == []


@pytest.mark.parametrize("folder", ["/proc/none", "/dev/null", "/dev/null/state"])
def test_a_named_folder_that_cannot_be_used(fail_to_start, folder):
    ended = fail_to_start(MODEL, "--listen-port=0", f"--state-dir={folder}")
    assert (ended.code, ended.stdout) == (1, "trainable: loading …\n")
    [line] = ended.stderr.splitlines()
    assert line.startswith(f"deepaas-run: cannot keep jobs in {folder}: ")


@pytest.fixture
def stranger(tmp_path) -> Path:
    """deepaas-run for a user without an entry in the list of users."""
    unshare = ("unshare", "--user", "--map-user=54321")
    tried = subprocess.run(
        [*unshare, "id", "-u"], capture_output=True, text=True, check=False
    )
    if tried.stdout != "54321\n":
        pytest.skip("user namespaces are not permitted")
    command = tmp_path / "run"
    command.write_text(
        f"#!/bin/sh\nexec {' '.join(unshare)} ${{NO_HOME:+env -u HOME}} "
        f'{DEEPAAS_RUN} "$@"\n'
    )
    command.chmod(0o755)
    return command


def test_a_user_without_an_entry_and_without_home(serve, stranger):
    server = serve(MODEL, command=stranger, env={"NO_HOME": "1"})
    found = server.wait_for_output(WARNING)
    assert found.group(2, 3) == ("HOME", "this user has none")
    train(server)


def test_a_home_that_is_read_only(serve, stranger, tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o555)
    server = serve(MODEL, command=stranger, env={"HOME": str(home)})
    found = server.wait_for_output(WARNING)
    assert found[3] == "Permission denied"
    train(server)


def test_a_database_that_is_read_only(serve, stranger, tmp_path):
    """For example one that root has made."""
    options = (MODEL, f"--listen-port={free_port()}")
    serve(*options, env={"HOME": str(tmp_path)}).stop()
    [file] = tmp_path.glob(".local/state/deepaas/*/jobs.sqlite")
    file.chmod(0o444)
    server = serve(*options, command=stranger, env={"HOME": str(tmp_path)})
    found = server.wait_for_output(WARNING)
    assert found.group(2, 3) == (str(file), "Permission denied")
    train(server)
