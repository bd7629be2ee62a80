"""The server as process 1 of a container, for which a namespace of processes stands."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.server import DEEPAAS_RUN, MODELS, Server, command_line, wait_until

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
SESSION = ("setsid", "--ctty")

# unshare itself ignores SIGTERM: the signal goes to process 1, as from `docker stop`.
CONTAINER = """\
#!/bin/bash
{unshare} {command} "$@" &
trap 'kill -TERM $(cat /proc/$!/task/$!/children)' TERM
wait $!
while code=$?; kill -0 $! 2>/dev/null; do wait $!; done
exit $code
"""


@pytest.fixture
def container(tmp_path) -> Path:
    """A command that runs deepaas-run as process 1."""
    tried = subprocess.run([*UNSHARE, "true"], capture_output=True, check=False)
    if tried.returncode != 0:
        pytest.skip("namespaces of processes are not permitted")
    command = tmp_path / "run"
    command.write_text(CONTAINER.format(unshare=" ".join(UNSHARE), command=DEEPAAS_RUN))
    command.chmod(0o755)
    return command


def process_one(server: Server) -> psutil.Process:
    [unshare] = psutil.Process(server.pid).children()
    [process] = unshare.children()
    assert "NSpid:\t" in Path(f"/proc/{process.pid}/status").read_text()
    return process


def is_zombie(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return False


def model(name: str) -> str:
    return f"--model={name}={MODELS / name}.py"


def test_the_children_of_a_call_that_takes_too_long(serve, container):
    server = serve(model("slow"), "--predict-timeout=5", command=container)
    with ThreadPoolExecutor() as threads:
        call = {"seconds": 30, "child": True}
        answer = threads.submit(server.post, "/v2/models/slow/predict/", params=call)
        server.wait_for_output("running 0")
        [worker] = [
            each
            for each in process_one(server).children(recursive=True)
            if "time.sleep" in command_line(each)
        ]
        assert answer.result().status_code == 504
    wait_until(lambda: not psutil.pid_exists(worker.pid))
    wait_until(lambda: server.get("/v2/health/ready").status_code == 200)
    assert server.post("/v2/models/slow/predict/").status_code == 200
    everyone = process_one(server).children(recursive=True)
    assert not [each for each in everyone if is_zombie(each)]


def test_processes_that_have_lost_their_parent(serve, container):
    server = serve(model("orphans"), command=container)
    path = "/v2/models/orphans/predict/"
    for _ in range(3):
        assert server.post(path).status_code == 200
    children = process_one(server).children
    wait_until(lambda: len(children()) == 1)
    [inner] = children()  # the server
    assert server.post(path, params={"wait": True}).status_code == 200
    [orphan] = set(children()) - {inner}
    orphan.terminate()
    wait_until(lambda: not psutil.pid_exists(orphan.pid))
    assert server.post(path).status_code == 200


def test_it_waits_for_a_call_when_told_to_stop(serve, container):
    server = serve(model("slow"), command=container)
    with ThreadPoolExecutor() as threads:
        params = {"seconds": 1}
        call = threads.submit(server.post, "/v2/models/slow/predict/", params=params)
        server.wait_for_output("running 0")
        os.kill(process_one(server).pid, signal.SIGTERM)
        assert call.result().status_code == 200
    assert server.wait() == 0


def test_a_second_signal_ends_it_at_once(serve, container):
    server = serve(model("slow"), command=container)
    with ThreadPoolExecutor() as threads:
        params = {"seconds": 50}
        call = threads.submit(server.post, "/v2/models/slow/predict/", params=params)
        server.wait_for_output("running 0")
        one = process_one(server)
        one.send_signal(signal.SIGTERM)
        wait_until(server.refuses)
        one.send_signal(signal.SIGINT)
        assert server.wait(10) == 0
        assert call.result().status_code == 503


def test_the_process_group_gets_one_signal(serve, container):
    """As from a terminal or a supervisor: the second one would end it at once."""
    server = serve(model("slow"), command=container)
    with ThreadPoolExecutor() as threads:
        params = {"seconds": 1}
        call = threads.submit(server.post, "/v2/models/slow/predict/", params=params)
        server.wait_for_output("running 0")
        os.killpg(os.getpgid(process_one(server).pid), signal.SIGINT)
        assert call.result().status_code == 200
    # the shell is in the group as well, and ends with the same signal
    server.expected_exit = server.wait()
    assert server.expected_exit in (0, 128 + signal.SIGINT, -signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "code"), [(["--no-such-option"], 2), (["--model=m=/no/file.py"], 1)]
)
def test_its_exit_code(fail_to_start, container, options, code):
    ended = fail_to_start(*options, command=container)
    assert ended.code == code
    assert ended.stderr


def test_the_exit_code_of_a_server_that_is_killed(serve, container):
    server = serve(model("echo"), command=container)
    [inner] = process_one(server).children()
    inner.kill()
    server.expected_exit = 128 + signal.SIGKILL
    server.leftovers_expected = True
    assert server.wait() == 128 + signal.SIGKILL


def test_the_command_for_one_call(container, tmp_path):
    """deepaas-cli is process 1 of a batch job's container."""
    cli = DEEPAAS_RUN.with_name("deepaas-cli")
    call = [model("orphans"), "predict"]
    done = subprocess.run(
        [*UNSHARE, cli, *call],
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"pid"' in done.stdout.replace("\\", "")


@pytest.mark.parametrize("closing", [False, True])
def test_a_terminal(container, tmp_path, closing):
    """Ctrl-C reaches the server once, and so does the end of the terminal."""
    script = tmp_path / "main.py"
    script.write_text(TERMINAL)
    done = subprocess.run(
        [
            *(sys.executable, script, str(closing), *UNSHARE, *SESSION, DEEPAAS_RUN),
            *("--listen-port=0", model("slow"), "--model-name=slow"),
            f"--state-dir={tmp_path / 'state'}",
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stdout.endswith("answered 200\nended 0\n"), done.stdout + done.stderr


TERMINAL = r"""
import os, pty, re, signal, sys, threading, urllib.request

closing = sys.argv[1] == "True"
errors, stderr = os.pipe()
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(stderr, 1)
    os.dup2(stderr, 2)
    os.execvp(sys.argv[2], sys.argv[2:])
os.close(stderr)
end = threading.Timer(40, os.kill, (pid, signal.SIGKILL))
end.start()
lines = open(errors)
found = (re.search(r"(http\S+)/v2/$", line) for line in lines)
url = next(match[1] for match in found if match)
next(line for line in lines if "The models" in line)
answers = []

def call():
    request = urllib.request.Request(f"{url}/v2/models/slow/predict/?seconds=1", b"")
    answers.append(urllib.request.urlopen(request).status)

calling = threading.Thread(target=call)
calling.start()
next(line for line in lines if "running 0" in line)
if closing:
    os.close(terminal)
else:
    os.write(terminal, b"\x03")
calling.join()
threading.Thread(target=lines.read).start()
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
end.cancel()
print("answered", *answers)
print("ended", status)
"""
