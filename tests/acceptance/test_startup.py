"""A server that cannot start says why, in one message, and ends with 1."""

import fcntl
import os
import re
import resource
import signal
import subprocess
import sys
import sysconfig
import termios
import threading
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import DEEPAAS_RUN, LISTEN, MODELS, ROOT, free_port, wait_until

ECHO = f"echo={MODELS / 'echo.py'}"


def model(name):
    return ("--model", f"m={MODELS / name}.py")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            model("broken_import"),
            [
                *("'m'", "ModuleNotFoundError", "a_package_that_nobody_has"),
                "(tests/models/broken_import.py, line 3)",
            ],
        ),
        (
            model("exit_on_import"),
            ["'m'", "SystemExit", "not today (tests/models/exit_on_import.py, line 5)"],
        ),
        (
            model("bad_args"),
            ["'m'", "get_predict_args", "list (tests/models/bad_args.py, line 6)"],
        ),
        (model("bad_schema"), ["'m'", "schema", "a schema"]),
        (
            model("bad_accept"),
            [
                *("'m'", "get_predict_args", "accept: 'png'"),
                "(tests/models/bad_accept.py, line 6)",
            ],
        ),
        (
            model("misspelt"),
            [
                *("'m'", "neither predict", "it has prdict (tests/models/misspelt.py"),
                ", line 6) and trian (tests/models/misspelt.py, line 10).",
            ],
        ),
        (
            model("warm_raises"),
            [
                "'m' cannot be served: warm: FileNotFoundError: weights.h5 is missing",
                "(tests/models/warm_raises.py, line 5)",
            ],
        ),
        (
            model("warm_thread"),
            ["'m'", "warm: ValueError: after all (tests/models/warm_thread.py, line "],
        ),
        (("--model", ECHO, "--base-path", "/a{b"), ["a{b", "--base-path"]),
        (("--model", ECHO, "--cors-origin", "app.example"), ["--cors-origin"]),
        (("--model", ECHO, "--cors-origin", "http://x.y/z"), ["http://x.y/z"]),
        (("--model", ECHO, "--gpus", ","), ["--gpus"]),
        (("--model", ECHO, "--gpus", "0,,1"), ["--gpus"]),
        (model("warm_dies"), ["'m'", "warm: a worker died: exit code 7"]),
        (model("no_such_file"), ["'m'", "no_such_file.py"]),
        (("--model", "m=deepaas.errors:Nothing"), ["'m'", "Nothing"]),
        (("--model", "m"), ["NAME=TARGET"]),
        (("--model", ECHO, "--model-name", "other"), ["'other'", "echo"]),
        (("--model", ECHO, "--listen-ip", "203.0.113.1"), ["203.0.113.1"]),
        (("--config-file", "no/such/file"), ["no/such/file"]),
    ],
)
def test_one_clear_message_and_exit_1(fail_to_start, options, words):
    ended = fail_to_start("--listen-port", "0", *options)
    assert ended.code == 1
    assert all(word in ended.stderr for word in words), ended.output
    assert "Traceback" not in ended.output
    assert len(ended.stderr.strip().splitlines()) <= 2


def test_no_model_at_all(tmp_path):
    # All that is installed, without the metadata of what names a model.
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        names = entry / "entry_points.txt"
        if not (names.is_file() and "[deepaas.v2.model]" in names.read_text()):
            (tmp_path / entry.name).symlink_to(entry)
    start = (
        f"import sys; sys.path += [{str(ROOT)!r}, {str(tmp_path)!r}]; "
        "from deepaas.cmd.run import main; main()"
    )
    command = [sys.executable, "-I", "-S", "-c", start, *LISTEN]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "There is no model to serve" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 3


def test_a_taken_port(serve: Serve, fail_to_start):
    server = serve("--model", ECHO)
    ended = fail_to_start("--model", ECHO, "--listen-port", str(server.port))
    assert ended.code == 1
    assert ended.stderr.strip().splitlines() == [
        f"deepaas-run: cannot listen on 127.0.0.1:{server.port}: "
        "Address already in use; choose another port with --listen-port"
    ]


def test_an_unknown_option_is_usage_and_exit_2(fail_to_start):
    ended = fail_to_start("--no-such-option")
    assert ended.code == 2
    assert "usage: deepaas-run" in ended.stderr


def test_a_configuration_file(serve: Serve, tmp_path):
    file = tmp_path / "deepaas.conf"
    file.write_text(
        "[DEFAULT]\n"
        f"model = echo={MODELS / 'echo.py'}\n"
        "base_path = /50%\n"
        "no-such-key = 100%d\n"
    )
    server = serve("--config-file", file)
    answer = server.post("/50%25/v2/models/echo/predict", params={"n": 1})
    assert answer.json() == {"n": 1}


def test_openwhisk_detect_is_taken_with_a_warning(serve: Serve):
    server = serve("--model", ECHO, "--openwhisk-detect")
    server.wait_for_output("WARNING .*openwhisk-detect is ignored")


def test_where_everything_is(serve: Serve):
    server = serve("--model", ECHO)
    for path in ("/v2/", "/api", "/v2/models/"):
        server.wait_for_output(re.escape(f"{server.url}{path}"))


def test_nowarm(serve: Serve):
    server = serve("--model", f"failing={MODELS / 'failing.py'}", "--nowarm")
    answer = server.post("/v2/models/failing/predict", params={"how": "nothing"})
    assert "before the warming" in answer.json()["message"]
    server.errors_expected = True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_whole_process_group(serve: Serve, number):
    server = serve("--model", ECHO, "--workers", "2")
    os.killpg(server.pid, number)
    assert server.wait() == 0


def test_stopping_while_it_warms(tmp_path):
    waiting = tmp_path / "waits.py"
    waiting.write_text(
        "import time\ndef predict(): pass\n"
        "def warm():\n    print('warming', flush=True); time.sleep(60)\n"
    )
    command = [DEEPAAS_RUN, *LISTEN, f"--model=m={waiting}", "--model-name=m"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert "warming" in process.stderr.readline()
        process.terminate()
        assert process.wait(10) == 0


WAITS = """\
import os, signal, sys, time
print("importing", file=sys.stderr, flush=True)
while os.path.exists({path!r}):
    time.sleep(0.01)
def warm():
    print("warming", repr(signal.getsignal(signal.SIGHUP)))
def predict():
    pass
"""


def test_hanging_up_during_the_start(tmp_path):
    """The tokens are read again when the start has ended; the workers stay."""
    wait, tokens, waits = (tmp_path / name for name in ("wait", "tokens", "waits.py"))
    wait.touch()
    tokens.write_text("one\n")
    waits.write_text(WAITS.format(path=str(wait)))
    command = [DEEPAAS_RUN, *LISTEN, f"--model=m={waits}", "--model-name=m"]
    command += [f"--auth-token-file={tokens}", f"--state-dir={tmp_path}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(process.stderr)
        next(line for line in lines if "importing" in line)
        tokens.write_text("one\ntwo\n")
        process.send_signal(signal.SIGHUP)
        wait.unlink()
        said = ""
        while not ("warming" in said and "tokens" in said) and process.poll() is None:
            said += next(lines, "")
        process.terminate()
    assert "2 tokens were read" in said
    assert "SIG_DFL" in said
    assert process.returncode == 0


def test_a_terminal_that_is_closed(tmp_path):
    ours, theirs = os.openpty()
    command = [DEEPAAS_RUN, *LISTEN, "--model", ECHO, "--model-name=echo"]
    with subprocess.Popen(
        [*command, f"--state-dir={tmp_path}"],
        stdin=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    ) as process:
        os.close(theirs)
        try:
            assert any(b"API" in line for line in process.stdout)
            process.send_signal(signal.SIGHUP)  # the terminal is there
            os.close(ours)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_many_files_may_be_open(serve: Serve):
    """A low limit is only a default."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        server = serve("--model", ECHO)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    assert soft == (65536 if hard == resource.RLIM_INFINITY else min(65536, hard))


def test_the_port_opens_after_the_warming(serve: Serve, tmp_path):
    port = free_port()
    model = tmp_path / "knocks.py"
    model.write_text(
        "import socket\n"
        "def predict(): pass\n"
        "def warm():\n"
        "    with socket.socket() as s:\n"
        f"        print('knocked', s.connect_ex(('127.0.0.1', {port})), flush=True)\n"
    )
    server = serve("--model", f"m={model}", "--listen-port", str(port))
    assert server.wait_for_output(r"knocked (\d+)")[1] == "111"  # refused
    assert server.get("/v2/").status_code == 200


def test_the_lines_of_a_start(serve: Serve):
    """A line for each model, then the addresses, the page's first."""
    server = serve("--model", ECHO, "--model", f"t={MODELS / 'trainable.py'}")
    server.wait_for_output("The models are at")
    lines = server.stdout.splitlines()
    apart = "trainings in a process of their own"
    assert lines[:2] == ["echo: loading …", "t: loading …"]
    for name, line in zip(("echo", "t"), lines[2:4], strict=True):
        assert re.fullmatch(rf"{name}: ready in \d+\.\d s, 1 worker, {apart}", line)
    assert [line.split()[-1] for line in lines[4:]] == [
        f"{server.url}{path}" for path in ("/ui/", "/v2/", "/api", "/v2/models/")
    ]


def test_an_address_that_opens(serve: Serve):
    server = serve("--model", ECHO, "--listen-ip", "0.0.0.0")
    assert "0.0.0.0" not in server.stdout
    page = re.search(r"The page is at +(\S+)", server.stdout)[1]
    assert page == f"{server.url}/ui/"
    assert server.get("/ui/").status_code == 200


def test_a_stop_says_what_it_waits_for(serve: Serve):
    server = serve("--model", f"t={MODELS / 'trainable.py'}", "--shutdown-grace=20")
    answered = []

    def call():
        answered.append(server.post("/v2/models/t/predict", params={"seconds": 5}))

    thread = threading.Thread(target=call)
    thread.start()
    path = "/v2/health/ready"
    wait_until(
        lambda: server.get(path).json()["models"]["t"]["workers"][0]["state"] == "busy"
    )
    os.kill(server.pid, signal.SIGINT)
    server.wait_for_output(
        r"Stopping: 1 prediction may run for 20 s more\. A second signal \(Ctrl-C\)"
    )
    thread.join()
    assert answered[0].status_code == 200
    assert server.wait() == 0


def test_python_m_deepaas(serve: Serve, tmp_path):
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m deepaas "$@"\n')
    program.chmod(0o755)
    server = serve("--model", ECHO, command=program)
    assert server.get("/v2/").status_code == 200


@pytest.mark.parametrize(
    ("options", "env", "message"),
    [
        (
            ("--model-name=ecko",),
            {},
            "No model is named 'ecko'; did you mean echo?",
        ),
        (
            (),
            {"DEEPAAS_V2_MODEL": "eco"},
            "No model is named 'eco' (DEEPAAS_V2_MODEL); did you mean echo?",
        ),
        (
            (),
            {"OS_DEFAULT__MODEL_NAME": "echo, eco"},
            "No model is named 'eco' (OS_DEFAULT__MODEL_NAME); did you mean echo?",
        ),
    ],
)
def test_a_misspelt_model(options, env, message, tmp_path):
    command = [DEEPAAS_RUN, *LISTEN, "--model", ECHO, *options]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"deepaas-run: {message}"), ended.stderr


def test_a_misspelt_file(fail_to_start):
    ended = fail_to_start("--model", f"m={MODELS / 'ecko.py'}")
    assert ended.code == 1
    assert ended.stderr.endswith("ecko.py; did you mean echo.py?\n")


def test_log_lines_are_in_the_order_of_their_times(serve: Serve):
    server = serve("--model", f"speaks={MODELS / 'speaks.py'}", "--model", ECHO)
    for n in range(20):
        assert server.post("/v2/models/echo/predict", params={"n": n}).is_success
        server.post("/v2/models/speaks/predict", params={"word": n})
    server.stop()
    times = re.findall(r"^(\d{4}-\S+ [\d:.]+) \d+ INFO", server.stderr, re.MULTILINE)
    assert len(times) > 40
    assert times == sorted(times)
