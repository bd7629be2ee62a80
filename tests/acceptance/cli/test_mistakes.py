"""Every kind of mistake on the command line of deepaas-cli, and its message."""

from __future__ import annotations

import json
import os
import re
import subprocess

import pytest

from tests.acceptance.cli.conftest import DEEPAAS_CLI, ECHO, OPTIONS
from tests.server import MODELS


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prdict"], "the command must be one of: .*; did you mean predict"),
        (["get-metadata"], "the command must be one of: .*; did you mean get_metadata"),
        (["sing"], "the command must be one of: .*check, init$"),
        (["--outptu=x", "predict"], "--outptu=x; did you mean --output"),
        (["--modl-name=x", "predict"], "--modl-name=x; did you mean --model-name"),
        (["predict", "--n=1", "--outptu=x"], "--outptu=x; did you mean --output"),
        (["predict", "--n=1", "--choise=a"], "--choise=a; did you mean --choice"),
        (["predict", "--n=1", "--xyzzy"], "unrecognized arguments: --xyzzy$"),
        (["predict", "--n=1", "--enum=RDE"], "--enum: Must be one of: .* mean RED"),
        (["predict", "--n=1", "--choice=A"], "--choice: Must be one of: .* mean a"),
        (["predict", "--n=x"], "argument --n: Not a valid integer.$"),
        (["predict"], "argument --n: Missing data for required field.$"),
        (["predict", "--n=1", "--output=/proc/x"], "argument --output: "),
        (["--print-completion=fsh"], "--print-completion: invalid choice: 'fsh'"),
    ],
)
def test_a_mistake(cli, words, message):
    done = cli(OPTIONS, *words)
    assert (done.code, done.stdout) == (2, b"")
    assert re.search(message, done.stderr.strip()), done.stderr


def test_a_misspelt_model(cli):
    done = cli(ECHO, "--model-name=ecko", "predict")
    assert done.code == 1
    assert "No model is named 'ecko'" in done.stderr
    assert "did you mean echo?" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
@pytest.mark.parametrize("program", ["deepaas-cli", "deepaas-run"])
def test_the_script_of_a_shell(shell, program):
    command = [DEEPAAS_CLI.parent / program, "--print-completion", shell]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert program in done.stdout
    assert "--model-name" in done.stdout or "model-name" in done.stdout


def test_bash_completes_commands_and_options(tmp_path):
    script = tmp_path / "completion"
    command = [DEEPAAS_CLI, "--print-completion", "bash"]
    script.write_text(subprocess.check_output(command, text=True))
    ask = (
        f"source {script}; COMP_WORDS=(deepaas-cli {{}}); COMP_CWORD=1; "
        "_shtab_deepaas_cli; echo ${{COMPREPLY[@]}}"
    )

    def completed(word):
        shell = ["bash", "-c", ask.format(word)]
        return subprocess.check_output(shell, text=True).split()

    assert completed("pre") == ["predict"]
    assert completed("--outp") == ["--output"]


def on_a_terminal(cli, *words):
    """Return what a command shows whose output and errors are a terminal."""
    ours, theirs = os.openpty()
    process = cli.start(*words, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with process, open(ours, "rb", buffering=0) as terminal:
        try:
            while piece := terminal.read(65536):
                shown += piece
        except OSError:  # the other end is closed
            pass
    return shown.decode()


def test_a_job_on_a_terminal_and_in_a_pipe(cli):
    model = f"--model=trains={MODELS / 'trains.py'}"
    words = (model, "train", "--steps=2", "--result=numpy")
    job = cli(*words).json()
    assert job["status"] == "done"
    shown = on_a_terminal(cli, *words)
    assert "warming …" in shown
    rows = dict(
        line.split(None, 1) for line in shown.splitlines() if len(line.split()) > 1
    )
    assert rows["status"].strip() == "done"
    assert rows["--steps"].strip() == "2"
    assert rows["step"].strip() == "2 of 2"
    assert json.loads(rows["output"]) == {"mean": 0.5, "all": [0, 1, 2]}
    assert re.fullmatch(r"[0-9a-f]{32}", rows["uuid"].strip())


def test_a_job_that_fails_on_a_terminal(cli):
    model = f"--model=trains={MODELS / 'trains.py'}"
    shown = on_a_terminal(cli, model, "train", "--fail=raise")
    assert re.search(r"^status +error\s*$", shown, re.MULTILINE)
