"""Outputs to which the result cannot be written."""

from __future__ import annotations

import json
import resource
import stat
import tempfile
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import HERE, THREE
from tests.server import MODELS


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/proc/out", "/proc/out is not a regular file."),
        (THREE / "out", f"Cannot write in {THREE}."),
        ("/dev/null", "/dev/null is not a regular file."),
        ("/dev/stdout", "/dev/stdout is not a regular file."),
        ("/dev/out", "/dev/out is not a regular file."),
        ("", "'' does not name a file."),
        (".", "'.' does not name a file."),
        ("out/..", "'out/..' does not name a file."),
        ("out/", "'out/' does not name a file."),
    ],
)
def test_no_place_for_the_output(cli, tmp_path, path, message):
    with open(tmp_path / "stdout", "wb") as stdout:
        done = cli.model(
            *("echo", f"--output={path}", "predict", "--n=1"),
            stdout=stdout,
            cwd=tmp_path,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["stdout"]
    assert (tmp_path / "stdout").read_bytes() == b""
    assert done.code == 2
    prefix = "deepaas-cli: argument --output: "
    assert done.stderr == f"{prefix}{message}\n"


def test_a_disk_that_is_full(cli, tmp_path):
    """A limit on the size of files makes a write fail half-way, as a full disk."""
    out = tmp_path / "out.bin"
    out.write_text("before")
    done = cli.model(
        *("returns", f"--output={out}", "predict", "--what=large bytes"),
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)
        ),
    )
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == f"deepaas-cli: Cannot write {out}: File too large.\n"
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_is_replaced_keeps_its_mode(cli, tmp_path):
    out = tmp_path / "out.json"
    out.touch()
    out.chmod(0o640)
    assert cli.model("echo", f"--output={out}", "predict", "--n=1").code == 0
    assert json.loads(out.read_text()) == {"n": 1}
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_folders_are_made(cli, tmp_path):
    out = tmp_path / "a/b/out.json"
    assert cli.model("echo", f"--output={out}", "predict", "--n=1").code == 0
    assert json.loads(out.read_text()) == {"n": 1}


def test_a_link_is_followed(cli, tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    out = f"--output={tmp_path / 'link.json'}"
    assert cli.model("echo", out, "predict", "--n=1").code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == {"n": 1}


def test_a_folder_in_memory(cli):
    """The file is under /dev, but is not a device."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        done = cli.model("echo", f"--output={folder}/out.json", "predict", "--n=1")
        assert json.loads(Path(folder, "out.json").read_text()) == done.json()


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        (">/dev/full", 1, "Cannot write to standard output: No space left on device."),
        (">&-", 1, "Cannot write to standard output: it is closed."),
        ("| head -c 5 >&2; exit ${PIPESTATUS[0]}", 141, "xxxxx"),
    ],
)
def test_standard_output_that_cannot_take_it(cli, redirection, code, message):
    call = f"--model=returns={MODELS}/returns.py {HERE} predict --what 'large bytes'"
    done = cli.shell(f"deepaas-cli {call} {redirection}")
    assert done.code == code
    assert done.stderr.removeprefix("deepaas-cli: ").strip() == message


def test_help_into_a_closed_pipe(cli):
    call = f"--model=options={MODELS}/options.py predict -h"
    done = cli.shell(f"deepaas-cli {call} | true; deepaas-cli --help | head -1")
    assert done.stderr == ""
