"""The options of deepaas-cli, before and after the command."""

from __future__ import annotations

import json

import pytest

from tests.acceptance.cli.conftest import ECHO, HERE, OPTIONS
from tests.server import MODELS


@pytest.mark.parametrize(
    "words",
    [
        [ECHO, OPTIONS, "--model-name=echo", "predict", "--n=1"],
        [ECHO, OPTIONS, "predict", "--n", "1", "--model-name", "echo"],
        [OPTIONS, "predict", ECHO, "--model-name", "echo", "--n=1"],
        ["predict", ECHO, "--n=1", HERE],
        [
            "--model-name=options",
            ECHO,
            OPTIONS,
            "predict",
            "--model-name=echo",
            "--n=1",
        ],
    ],
)
def test_options_before_and_after_the_command(cli, words):
    assert cli(*words).json() == {"n": 1}


def test_an_output_after_the_command(cli, tmp_path):
    out = tmp_path / "out.json"
    done = cli("predict", "--deepaas_method_output", out, ECHO, "--n", "-1")
    assert done.json() == json.loads(out.read_text()) == {"n": -1}


@pytest.mark.parametrize("command", ["get_metadata", "warm", "train"])
def test_options_after_the_other_commands(cli, command):
    done = cli(command, f"--model=trainable={MODELS / 'trainable.py'}", "--debug")
    assert done.code == 0


def test_a_configuration_file_after_the_command(cli, raw):
    assert cli("predict", "--what=number", raw).json() == 3
    assert cli("predict", raw, "--what=number", "--model-name=nobody").code == 1


def test_the_version_after_the_command(cli):
    done = cli("predict", ECHO, "--version")
    assert (done.code, done.stdout) == (0, b"2.7.0\n")


SHARED = """
from webargs import fields

NAMES = ["model-name", "model", "config-file", "output", "debug", "version"]

def get_predict_args():
    return {name: fields.Str(load_default=None) for name in NAMES}

def predict(**kwargs):
    return {name: value for name, value in kwargs.items() if value is not None}
"""


@pytest.mark.parametrize(
    "name", ["model-name", "model", "config-file", "output", "debug", "version"]
)
@pytest.mark.parametrize("joined", [True, False])
def test_an_argument_of_the_model_that_is_named_like_an_option(cli, name, joined):
    """After the command it is the model's, before it ours."""
    model = cli.written(SHARED)
    words = [f"--{name}=x=y"] if joined else [f"--{name}", "x=y"]
    assert cli(model, HERE, "predict", *words).json() == {name: "x=y"}
    assert list(cli.temporary.parent.glob("*x=y*")) == []


def test_both_an_option_and_an_argument_of_its_name(cli, tmp_path):
    out = tmp_path / "a.json"
    model = cli.written(SHARED)
    words = ("--output=b.json", "--deepaas_method_output", out, HERE)
    done = cli(model, "--output=c.json", "predict", *words, cwd=tmp_path)
    assert json.loads(out.read_text()) == done.json() == {"output": "b.json"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model-name"], "argument --model-name: expected one argument"),
        (["--debug=on"], "argument -d/--debug: ignored explicit argument 'on'"),
        (["--outpu=x"], "unrecognized arguments: --outpu=x"),
    ],
)
def test_an_option_after_the_command_that_cannot_be_read(cli, words, message):
    for model in [ECHO], []:
        done = cli(*model, "predict", "--n=1", *words)
        assert done.stdout == b""
        if model or "outpu" not in words[0]:
            assert done.code == 2
            assert message in done.stderr


def test_a_model_that_does_not_load_is_loaded_once(cli):
    source = "print('loading')\nraise ValueError('no')"
    done = cli(cli.written(source), "predict", "--n=1")
    assert done.code == 1
    assert done.stderr.count("loading") == 1


def test_a_key_of_a_configuration_file_that_is_not_read(cli, tmp_path):
    config = tmp_path / "a.conf"
    config.write_text("[DEFAULT]\nmodle = x\nlog_file = y\n")
    done = cli(f"--config-file={config}", ECHO, "predict", "--n=1")
    assert done.json() == {"n": 1}
    warning, returned = done.stderr.splitlines()
    assert warning == (
        f"{config}: modle under [DEFAULT] is ignored: did you mean model?"
    )
    assert returned == "return: {'n': 1}"


@pytest.mark.parametrize("option", ["--files", "--data"])
def test_an_argument_with_a_data_key_has_an_option_of_each_name(cli, option):
    """DEEPaaS 2.6 names the option by the key of `get_predict_args`."""
    source = (
        "from webargs import fields\n"
        "def get_predict_args():\n"
        "    return {'files': fields.Int(data_key='data')}\n"
        "def predict(**kwargs): return kwargs\n"
    )
    assert cli(cli.written(source), "predict", f"{option}=3").json() == {"files": 3}
    assert cli(cli.written(source), "predict", option, "-3").json() == {"files": -3}
