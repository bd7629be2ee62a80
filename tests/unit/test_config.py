"""Options: command line, files, environment, and invalid values."""

import pytest

from deepaas.config import Settings
from deepaas.config_sources import new_config, read_settings, unread_keys
from deepaas.errors import StartError


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("DEEPAAS_V2_MODEL", raising=False)


def settings(*argv):
    return read_settings(new_config(), argv)


def test_the_defaults_are_those_of_settings():
    found, expected = settings(), Settings()
    assert (found.listen_ip, found.listen_port) == ("127.0.0.1", 5000)
    assert found.base_path == expected.base_path == ""
    assert found.model_names == []
    assert found.gpus == []


def test_the_command_line_wins_over_files(tmp_path, monkeypatch):
    file = tmp_path / "a.conf"
    file.write_text("[DEFAULT]\nworkers = 3\nmax_queued = 7\n")
    found = settings("--config-file", str(file), "--workers=2", "--gpus", "0, 1")
    assert (found.workers, found.max_queued, found.gpus) == (2, 7, ["0", "1"])


def test_the_models_of_the_environment(monkeypatch):
    monkeypatch.setenv("DEEPAAS_V2_MODEL", " a, b,,")
    assert settings().model_names == ["a", "b"]
    assert settings("--model-name=c").model_names == ["c"]


@pytest.mark.parametrize(
    ("path", "base"),
    [("", ""), ("/", ""), ("x", "/x"), ("/a/b/", "/a/b"), ("/50%", "/50%25")],
)
def test_the_base_path(path, base):
    assert settings(f"--base-path={path}").base_path == base


@pytest.mark.parametrize(
    ("origin", "sent"),
    [
        ("https://App.Example", "https://app.example"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("*", "*"),
    ],
)
def test_origins(origin, sent):
    assert settings(f"--cors-origin={origin}").cors_origins == [sent]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--base-path=/a b", "--base-path"),
        ("--base-path=/a{b", "--base-path"),
        ("--cors-origin=app.example", "--cors-origin"),
        ("--cors-origin=http://x.y/z", "http://x.y/z"),
        ("--gpus=0,,1", "--gpus"),
        ("--config-file=/no/such/file", "/no/such/file"),
    ],
)
def test_a_value_that_makes_no_sense(option, words):
    with pytest.raises(StartError, match=words):
        settings(option)


def test_an_unknown_option_is_usage(capsys):
    with pytest.raises(SystemExit) as exited:
        settings("--no-such-option")
    assert exited.value.code == 2
    assert "usage: deepaas-run" in capsys.readouterr().err


def test_a_dollar_sign_names_another_option(tmp_path):
    file = tmp_path / "a.conf"
    file.write_text("[DEFAULT]\nstate_dir = /$NOTHING\n")
    with pytest.raises(StartError, match=r"write \$\$ for a dollar sign"):
        settings("--config-file", str(file))
    file.write_text("[DEFAULT]\nstate_dir = /$$x\n")
    assert settings("--config-file", str(file)).state_dir == "/$x"


def test_keys_that_no_option_reads(tmp_path):
    file = tmp_path / "a.conf"
    file.write_text("[DEFAULT]\nworkrs = 1\ndebug = no\n[server]\nworkers = 2\n")
    conf = new_config()
    read_settings(conf, ["--config-file", str(file)])
    assert list(unread_keys(conf)) == [
        f"{file}: workrs under [DEFAULT] is ignored: did you mean workers?",
        f"{file}: workers under [server] is ignored: options stand under [DEFAULT]",
    ]
