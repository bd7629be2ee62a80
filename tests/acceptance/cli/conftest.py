"""Starts the real `deepaas-cli`, in a process of its own, as scripts call it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import MODELS, ROOT

DEEPAAS_CLI = Path(sys.executable).parent / "deepaas-cli"
THREE = ROOT / "examples/digits/deepaas_digits/data/three.png"
HERE = "--nodeepaas_with_multiprocessing"
PNG = b"\x89PNG\r\n\x1a\n"
SOURCE = (MODELS / "returns.py").read_bytes()
WHEN = "2026-01-02T03:04:05+00:00"
ECHO = f"--model=echo={MODELS / 'echo.py'}"
OPTIONS = f"--model=options={MODELS / 'options.py'}"


class Ended:
    """The exit code and the output of a command that has ended."""

    def __init__(self, code: int, stdout: bytes, stderr: bytes) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr.decode()

    def json(self):
        """Return the value on standard output, which is one line of JSON."""
        assert self.code == 0, self.stderr
        assert self.stdout.endswith(b"\n")
        assert self.stdout.count(b"\n") == 1
        return json.loads(self.stdout)


class Cli:
    """Starts `deepaas-cli` with a TMPDIR and a HOME of its own."""

    def __init__(self, directory: Path) -> None:
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DEEPAAS_")}
        self.environment = {
            **kept,
            "TMPDIR": str(self.temporary),
            "HOME": str(directory),
        }

    def start(self, *words, **options) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own, which Ctrl-C would go to."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        options.setdefault("command", [DEEPAAS_CLI, *map(str, words)])
        process = subprocess.Popen(
            options.pop("command"),
            stdin=subprocess.DEVNULL,
            env={**self.environment, **options.pop("env", {})},
            start_new_session=True,
            **options,
        )
        self.started.append(process)
        return process

    def __call__(self, *words, **options) -> Ended:
        with running(self.start(*words, **options)) as process:
            stdout, stderr = process.communicate(timeout=50)
        return Ended(process.returncode, stdout or b"", stderr or b"")

    def model(self, name: str, *words, **options) -> Ended:
        """Call a model of the folder `models`."""
        return self(f"--model={name}={MODELS / name}.py", *words, **options)

    def written(self, source: str) -> str:
        """Write a model for one test; return the option that names it."""
        path = self.temporary.parent / "written.py"
        path.write_text(source)
        return f"--model=written={path}"

    def shell(self, script: str, **variables) -> Ended:
        """Run a script as the public ones are: with the command in their PATH."""
        path = f"{DEEPAAS_CLI.parent}:{os.environ['PATH']}"
        env = {"PATH": path, **{k: str(v) for k, v in variables.items()}}
        return self(command=["bash", "-c", script], env=env)


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]):
    """Run a process that ends with the test at the latest."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def cli(tmp_path_factory):
    """A command that leaves nothing in the temporary directory."""
    cli = Cli(tmp_path_factory.mktemp("cli"))
    yield cli
    assert all(process.poll() is not None for process in cli.started)
    assert list(cli.temporary.iterdir()) == []


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Variables with which the example fits its model once."""
    return {"DIGITS_MODEL_DIR": str(tmp_path_factory.mktemp("digits"))}


@pytest.fixture
def raw(tmp_path):
    """A configuration with an option that is the server's alone."""
    file = tmp_path / "deepaas.conf"
    model = f"returns={MODELS / 'returns.py'}"
    file.write_text(
        f"[DEFAULT]\nmodel = {model}\nmodel_name = returns\nraw_predictions = true\n"
    )
    return f"--config-file={file}"
