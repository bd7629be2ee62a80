"""Each setting has one option, with the same default and name."""

from dataclasses import asdict, fields

import pytest

from deepaas.config import Settings, list_opts
from deepaas.config_sources import new_config, read_settings
from deepaas.errors import StartError


def read(*argv: str) -> Settings:
    return read_settings(new_config(), argv)


def test_defaults(monkeypatch):
    monkeypatch.delenv("DEEPAAS_V2_MODEL", raising=False)
    found, expected = asdict(read()), asdict(Settings())
    assert found == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in expected.items()
    }


def test_names():
    """A setting of several values has the plural of its option's name."""
    plurals = {
        "trusted_proxy": "trusted_proxies",
        "cors_origin": "cors_origins",
        "model_name": "model_names",
        "model": "models",
    }
    [(_, options)] = list_opts()
    names = [plurals.get(option.dest, option.dest) for option in options]
    assert names == [field.name for field in fields(Settings)]


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--base-path=/a/b/"], "base_path", "/a/b"),
        (["--base-path=50%"], "base_path", "/50%25"),
        (
            ["--cors-origin=HTTPS://A.example/", "--cors-origin=*"],
            "cors_origins",
            ["https://a.example", "*"],
        ),
        (["--gpus=0, 1"], "gpus", ["0", "1"]),
        (["--model-name=a", "--model-name=b,c"], "model_names", ["a", "b,c"]),
        (["--model=a=b", "--model=c=d"], "models", ["a=b", "c=d"]),
        (["--trusted-proxy=10.0.0.0/8"], "trusted_proxies", ["10.0.0.0/8"]),
        (["-p3"], "workers", 3),
        (["--nowarm"], "warm", False),
        (["--warm-timeout=1.5"], "warm_timeout", 1.5),
        (["--state-dir=x"], "state_dir", "x"),
    ],
)
def test_values(argv, name, value):
    assert getattr(read(*argv), name) == value


def test_models_of_the_environment(monkeypatch):
    monkeypatch.setenv("DEEPAAS_V2_MODEL", "a, b,,")
    assert read().model_names == ["a", "b"]
    assert read("--model-name=c").model_names == ["c"]


@pytest.mark.parametrize(
    "argument", ["--base-path=a b", "--cors-origin=x", "--gpus=0,,1"]
)
def test_bad_values(argument):
    with pytest.raises(StartError, match=argument.partition("=")[0]):
        read(argument)
