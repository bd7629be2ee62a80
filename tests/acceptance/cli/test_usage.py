"""The choice of the model, its metadata, and options that cannot be used."""

from __future__ import annotations

import pytest

from tests.server import MODELS


def test_which_model(cli):
    two = [f"model = {name}={MODELS / name}.py\n" for name in ("echo", "options")]
    config = cli.temporary.parent / "two.conf"
    config.write_text(f"[DEFAULT]\n{''.join(two)}")
    done = cli(f"--config-file={config}", "predict", "--n=1")
    assert done.code == 2
    assert "argument --model-name: Must choose one of: " in done.stderr
    done = cli(f"--config-file={config}", "--model-name=echo", "predict", "--n=1")
    assert done.json() == {"n": 1}
    chosen = {"DEEPAAS_V2_MODEL": "echo"}
    done = cli(f"--config-file={config}", "predict", "--n=1", env=chosen)
    assert done.json() == {"n": 1}
    echo, options = (
        f"--model={name}={MODELS / name}.py" for name in ("echo", "options")
    )
    assert cli(echo, options, "predict", "--n=1", env=chosen).json() == {"n": 1}
    assert cli(echo, options, "predict", "--n=1").code == 2
    other = {"DEEPAAS_V2_MODEL": "options"}
    assert cli(echo, "predict", "--n=1", env=other).json() == {"n": 1}
    call = (echo, options, "--model-name=echo", "predict", "--n=1")
    assert cli(*call, env=other).json() == {"n": 1}
    done = cli("--model-name=nobody", "predict")
    assert done.code == 1
    assert "No model is named 'nobody'" in done.stderr


def test_metadata(cli):
    done = cli.model("documented", "get_metadata").json()
    assert done["id"] == "documented"
    assert cli.model("echo", "get_metadata").json() == {
        "id": "echo",
        "name": "echo",
        "description": "The model echo.",
    }


def test_the_version(cli):
    done = cli("--version")
    assert done.code == 0
    assert done.stdout.decode().splitlines()[-1] == "2.7.0"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["sing"],
        ["--bogus", "predict"],
        ["--model-nam=echo", "predict"],
        ["--config-file"],
        ["warm", "--n=1"],
    ],
)
def test_usage(cli, words):
    done = cli.model("echo", *words)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith("usage: deepaas-cli")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"model", "config-file: Failed to parse"),
        (b"\xff", "config-file: 'utf-8' codec can't decode"),
        (b"[DEFAULT]\nbase_path = /a b", "config-file: base_path = /a b in "),
        (
            b"[DEFAULT]\nmodel = x",
            "model: Takes NAME=TARGET, such as iris=iris.py, not 'x'.",
        ),
    ],
)
def test_a_configuration_that_cannot_be_used(cli, tmp_path, text, message):
    config = tmp_path / "a.conf"
    config.write_bytes(text)
    done = cli(f"--config-file={config}", "predict")
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"deepaas-cli: argument --{message}")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--model=x", "model: Takes NAME=TARGET, such as iris=iris.py, not 'x'."),
        ("--model=x=", "model: Takes NAME=TARGET, such as iris=iris.py, not 'x='."),
        ("--config-file=/no/file", "config-file: Failed to find some config files"),
        ("--config-file=/", "config-file: [Errno 21] Is a directory: '/'"),
    ],
)
def test_an_option_that_cannot_be_used(cli, option, message):
    done = cli(option, "predict")
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"deepaas-cli: argument --{message}")
