"""Exceptions of models, and the death of their process."""

from __future__ import annotations

import pytest

from tests.acceptance.cli.conftest import HERE


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("str", "x"),
        ("exception", "x"),
        ("newline", "x\ny"),
        ("text", "long story"),
        ("not implemented", "The model does not implement this."),
        ("value", "ValueError: the text"),
        ("two arguments", "TwoArgumentsError: 7: seven"),
        ("cancelled", "CancelledError"),
        ("interrupt", "KeyboardInterrupt"),
        ("own status", "mine"),
        ("sys.exit", "The worker died in the call: exit code 3."),
        ("os._exit", "The worker died in the call: exit code 1."),
        ("SIGSEGV", "The worker died in the call: SIGSEGV."),
        ("SIGKILL", "The worker died in the call: SIGKILL (out of memory?)."),
    ],
)
def test_what_a_model_raises_or_dies_of(cli, tmp_path, how, message):
    out = tmp_path / "out"
    done = cli.model("failing", f"--output={out}", "predict", "--how", how)
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == f"deepaas-cli: {message}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("value", "ValueError: the text"),
        ("interrupt", "KeyboardInterrupt"),
        ("sys.exit", "The model ended its process: exit code 3."),
    ],
)
def test_what_it_raises_in_this_process(cli, how, message):
    done = cli.model("failing", HERE, "predict", "--how", how)
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == f"deepaas-cli: {message}\n"


@pytest.mark.parametrize(
    ("call", "cause"),
    [
        ("exit()", "exit code 0"),
        ("exit(True)", "exit code 1"),
        ("exit('no licence')", "no licence"),
    ],
)
def test_an_exit_in_this_process(cli, call, cause):
    source = f"import sys\n\ndef predict():\n    sys.{call}\n"
    done = cli(cli.written(source), HERE, "predict")
    assert done.code == 1
    assert done.stderr == f"deepaas-cli: The model ended its process: {cause}.\n"
    done = cli(cli.written(f"{source}\nwarm = predict"), HERE, "warm")
    assert done.code == 1
    message = (
        "deepaas-cli: The model 'written' cannot be served: warm: it ended its "
        f"process: {cause} ("
    )
    assert done.stderr.startswith(message)
    assert done.stderr.endswith("written.py, line 4)\n")


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_the_traceback_with_debug(cli, place):
    done = cli.model("failing", *place, "--debug", "predict", "--how=value")
    assert done.code == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert 'failing.py", line' in done.stderr


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_the_model_is_warm(cli, place):
    assert cli.model("warm_first", *place, "predict").json() == 1
    assert cli.model("warm_first", *place, "train").json()["result"]["output"] == 1
    warm = cli.model("warm_first", *place, "warm")
    assert (warm.code, warm.stdout) == (0, b"")


@pytest.mark.parametrize("place", [(), (HERE,)])
@pytest.mark.parametrize("command", ["warm", "predict"])
def test_a_model_that_cannot_be_warmed(cli, command, place):
    done = cli.model("warm_raises", *place, command)
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == (
        "deepaas-cli: The model 'warm_raises' cannot be served: "
        "warm: FileNotFoundError: weights.h5 is missing "
        "(tests/models/warm_raises.py, line 5)\n"
    )


def test_a_warming_that_ends_the_worker(cli):
    done = cli.model("warm_dies", "predict")
    assert done.code == 1
    assert "a worker died: exit code 7" in done.stderr


def test_what_a_model_does_not_do(cli):
    trained = cli.model("train_only", "train").json()
    assert trained["result"]["output"] == 1
    done = cli.model("train_only", "predict")
    assert done.code == 1
    assert done.stderr == "deepaas-cli: The model does not implement predict.\n"
    done = cli.model("echo", "train")
    assert done.code == 1
    assert done.stderr == "deepaas-cli: The model does not implement train.\n"


def test_a_model_that_does_not_load(cli):
    done = cli.model("broken_import", "predict")
    assert (done.code, done.stdout) == (1, b"")
    assert "The model 'broken_import' cannot be served" in done.stderr
    assert "Traceback" not in done.stderr
