"""Commands that are started without standard input, output or error."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess

import httpx
import pytest

from tests.server import DEEPAAS_RUN, LISTEN, MODELS, free_port, wait_until

ALL = [
    closed
    for count in range(4)
    for closed in itertools.combinations(("0", "1", "2"), count)
]


def without(closed, command, *options) -> list[str]:
    """A command that is started with these descriptors closed."""
    closing = " ".join(f"{descriptor}>&-" for descriptor in closed)
    return ["bash", "-c", f'exec "$0" "$@" {closing}', str(command), *options]


@pytest.mark.parametrize("closed", ALL, ids="".join)
def test_the_server(tmp_path, closed):
    url = f"http://127.0.0.1:{(port := free_port())}/v2"
    command = without(
        *(closed, DEEPAAS_RUN, f"--listen-port={port}"),
        *(f"--model=speaks={MODELS / 'speaks.py'}", "--model-name=speaks"),
        *(f"--state-dir={tmp_path / 'state'}", f"--log-file={tmp_path / 'log'}"),
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
    ) as server:
        try:
            wait_until(lambda: answers(url) or server.poll() is not None, 45)
            answer = httpx.post(
                f"{url}/models/speaks/predict/?word=hi", trust_env=False, timeout=30
            )
            assert answer.json()["predictions"] == "hi"
            assert "printed hi" in (tmp_path / "log").read_text()
            null = os.path.samestat
            for descriptor in closed:
                path = f"/proc/{server.pid}/fd/{descriptor}"
                assert null(os.stat(path), os.stat(os.devnull))
            server.send_signal(signal.SIGTERM)
            stdout, _ = server.communicate(timeout=40)
            assert server.returncode == 0
            assert ("The API is at" in stdout.decode()) == ("1" not in closed)
        finally:
            server.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("closed", ALL, ids="".join)
def test_a_server_that_does_not_start(tmp_path, closed):
    command = without(closed, DEEPAAS_RUN, *LISTEN, "--model=m=/no/such/file.py")
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=50, check=False
    )
    assert done.returncode == 1
    assert done.stdout == b""
    assert (b"deepaas-run: " in done.stderr) == ("2" not in closed)


@pytest.mark.parametrize("place", ["--deepaas_with", "--nodeepaas_with"])
@pytest.mark.parametrize("closed", ALL, ids="".join)
def test_the_command_for_one_call(tmp_path, closed, place):
    out = tmp_path / "out.json"
    done = subprocess.run(
        without(
            *(closed, DEEPAAS_RUN.with_name("deepaas-cli"), f"{place}_multiprocessing"),
            *(f"--model=speaks={MODELS / 'speaks.py'}", f"--output={out}"),
            *("predict", "--word=hi"),
        ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=50,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert b"hi" in out.read_bytes()
    # what standard output cannot take is told, as when a disk is full
    assert done.returncode == (1 if "1" in closed else 0)
    assert (b"hi" in done.stdout) == ("1" not in closed)
    assert (b"printed hi" in done.stderr) == ("2" not in closed)
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
