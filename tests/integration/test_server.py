"""The harness itself: one that overlooks a leftover proves nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.server import Server, wait_until

# Prints what deepaas-run prints, does what the test adds, waits for SIGTERM.
SCRIPT = """\
#!{python}
import os, signal, subprocess, sys, tempfile
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
{more}
print("API: http://127.0.0.1:12345/", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[[str], Server]:
    def start(more: str) -> Server:
        script = tmp_path / "fake-run"
        script.write_text(SCRIPT.format(python=sys.executable, more=more))
        script.chmod(0o755)
        return Server(directory=tmp_path, command=script, start_timeout=10)

    return start


def test_a_tidy_server_is_fine(start):
    server = start("")
    assert server.url == "http://127.0.0.1:12345"
    assert server.close() == []


@pytest.mark.parametrize(
    ("untidy", "problem"),
    [
        ("tempfile.mkstemp(suffix='.png')", "a file is left: "),
        ("subprocess.Popen(['sleep', '60'])", "a process is left: "),
        (
            "subprocess.Popen(['sleep', '60'], start_new_session=True)",
            "a process is left: ",
        ),
        ("os.fork() or signal.pause()", "a process is left: "),
        ("print('ERROR', file=sys.stderr)", "the output has the word ERROR"),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))", "exit code 3 "),
    ],
)
def test_an_untidy_server_is_found_out(start, untidy, problem):
    server = start(untidy)
    problems = server.close()
    assert len(problems) == 1
    assert problems[0].startswith(problem)
    wait_until(lambda: server.family() == set())  # what was killed ends soon


def test_a_server_that_ends_is_not_waited_for(start):
    with pytest.raises(AssertionError, match="ended with 1\nno model"):
        start("sys.exit('no model')")


def test_a_server_that_hangs_shows_where(start):
    server = start("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    with pytest.raises(AssertionError, match=r"did not stop(.|\n)*fake-run"):
        server.stop(timeout=0.5)


def test_its_output_can_be_waited_for(start):
    # Not print(): the signal may come while the script is still inside its own.
    write = r"os.write(1, b'x=7\n')"
    server = start(f"signal.signal(signal.SIGUSR1, lambda *_: {write})")
    os.kill(server.pid, signal.SIGUSR1)
    assert server.wait_for_output(r"x=(\d)")[1] == "7"
    assert server.close() == []
