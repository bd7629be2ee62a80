"""Every kind of mistake in an option, and the message that it gives."""

import pytest

from deepaas.config_sources import new_config, read_settings, unread_names
from deepaas.errors import StartError
from deepaas.logs import register_options


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("DEEPAAS_V2_MODEL", raising=False)


def configuration():
    conf = new_config()
    register_options(conf)
    return conf


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["--listn-port=1"],
            "unknown option --listn-port; did you mean --listen-port?",
        ),
        (["--modle", "a=b"], "unknown option --modle; did you mean --model?"),
        (["--no-warm"], "unknown option --no-warm; did you mean --nowarm?"),
        (["--log-fiel=x"], "unknown option --log-fiel; did you mean --log-file?"),
        (["--relaod"], "unknown option --relaod; did you mean --reload?"),
        (["--xyzzy"], "unknown option --xyzzy"),
        (
            ["a/echo.py"],
            "'a/echo.py' belongs to no option; a model is named by "
            "--model echo=a/echo.py",
        ),
        (["--listen-port"], "--listen-port: expected one argument"),
        (["--nowarm=1"], "--warm/--nowarm: ignored explicit argument '1'"),
    ],
)
def test_an_option_that_there_is_not(argv, message, capsys):
    with pytest.raises(SystemExit) as exited:
        read_settings(configuration(), argv)
    assert exited.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "usage: deepaas-run [options]; see --help",
        f"deepaas-run: {message}",
    ]


WRONG_VALUES = [
    ("listen_port", "abc", "it is not a whole number"),
    ("listen_port", "70000", "it is not from 0 to 65535"),
    ("workers", "0", "it is less than 1"),
    ("workers", "two", "it is not a whole number"),
    ("warm_timeout", "soon", "it is not a number"),
    ("warm_timeout", "nan", "it is not a finite number"),
    ("predict_timeout", "inf", "it is not a finite number"),
    ("keep_days", "-1", "it is less than 0"),
    ("train_workers", "atuo", "it is neither a number nor auto; did you mean auto?"),
    ("train_workers", "-1", "it is neither a number nor auto"),
    ("listen_ip", "a b", "it is neither an address nor the name of a host"),
    ("base_path", "/a{b", "it has characters that a path cannot have"),
    ("gpus", "0,,1", "it leaves out a GPU"),
]


@pytest.mark.parametrize(("key", "value", "reason"), WRONG_VALUES)
def test_a_wrong_value_on_the_command_line(key, value, reason):
    option = f"--{key.replace('_', '-')}"
    with pytest.raises(StartError) as raised:
        read_settings(configuration(), [f"{option}={value}"])
    assert str(raised.value) == f"{option} {value}: {reason}"


@pytest.mark.parametrize(("key", "value", "reason"), WRONG_VALUES)
def test_a_wrong_value_in_the_environment(key, value, reason, monkeypatch):
    monkeypatch.setenv(f"OS_DEFAULT__{key.upper()}", value)
    with pytest.raises(StartError) as raised:
        read_settings(configuration(), [])
    assert str(raised.value) == f"OS_DEFAULT__{key.upper()}={value}: {reason}"


@pytest.mark.parametrize(("key", "value", "reason"), WRONG_VALUES)
def test_a_wrong_value_in_a_file(key, value, reason, tmp_path):
    good, bad = tmp_path / "good.conf", tmp_path / "b{a}d.conf"
    good.write_text("[DEFAULT]\nmax_queued = 1\n")
    bad.write_text(f"[DEFAULT]\n{key} = {value}\n")
    files = [f"--config-file={bad}", f"--config-file={good}"]
    with pytest.raises(StartError) as raised:
        read_settings(configuration(), files)
    assert str(raised.value) == f"{key} = {value} in {bad}: {reason}"


def test_the_short_name_is_named_as_it_was_typed():
    with pytest.raises(StartError, match=r"^-p 0: it is less than 1$"):
        read_settings(configuration(), ["-p", "0"])


def test_a_truth_that_is_misspelt(tmp_path):
    file = tmp_path / "a.conf"
    file.write_text("[DEFAULT]\nwarm = ture\n")
    with pytest.raises(StartError) as raised:
        read_settings(configuration(), [f"--config-file={file}"])
    assert str(raised.value) == (
        f"warm = ture in {file}: it is neither true nor false; did you mean true?"
    )


def test_several_values_in_the_environment(monkeypatch):
    monkeypatch.setenv("OS_DEFAULT__MODEL_NAME", "a, b")
    monkeypatch.setenv("OS_DEFAULT__CORS_ORIGIN", "*")
    found = read_settings(configuration(), [])
    assert found.model_names == ["a", "b"]
    assert found.cors_origins == ["*"]
    assert read_settings(configuration(), ["--model-name=c"]).model_names == ["c"]


def test_the_command_line_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("OS_DEFAULT__WORKERS", "3")
    assert read_settings(configuration(), ["--workers=2"]).workers == 2
    assert read_settings(configuration(), []).workers == 3


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("OS_DEFAULT__LISTN_PORT", "did you mean OS_DEFAULT__LISTEN_PORT?"),
        ("OS_DEFAULT__XYZZY", "no option"),
        ("OS_DEFAULT_LISTEN_PORT", "did you mean OS_DEFAULT__LISTEN_PORT?"),
        ("DEEPAAS_LISTEN_PORT", "did you mean OS_DEFAULT__LISTEN_PORT?"),
        ("DEEPAAS_V2_MODELS", "did you mean DEEPAAS_V2_MODEL?"),
        ("DEEPASS_V2_MODEL", "did you mean DEEPAAS_V2_MODEL?"),
    ],
)
def test_a_variable_that_no_option_reads(name, remedy, monkeypatch):
    monkeypatch.setenv(name, "1")
    conf = configuration()
    read_settings(conf, [])
    assert list(unread_names(conf)) == [
        f"The environment variable {name} is ignored: {remedy}"
    ]


@pytest.mark.parametrize(
    "name", ["OS_DEFAULT__WORKERS", "DEEPAAS_V2_MODEL", "DEEPAAS_WEIGHTS", "OS_CLOUD"]
)
def test_a_variable_of_ours_or_of_others(name, monkeypatch):
    monkeypatch.setenv(name, "1")
    conf = configuration()
    read_settings(conf, [])
    assert list(unread_names(conf)) == []


def test_the_help_has_groups_defaults_and_examples(capsys):
    with pytest.raises(SystemExit) as exited:
        read_settings(configuration(), ["--help"])
    assert exited.value.code == 0
    text = capsys.readouterr().out
    heads = [line for line in text.splitlines() if line and line[0] != " "]
    wanted = ["serve:", "models:", "workers:", "jobs:", "protection:", "log:"]
    assert [line for line in heads if line in wanted] == wanted
    words = " ".join(text.split())
    assert (
        "--listen-port PORT Port to listen on; 0 for any free one. Default: 5000."
        in words
    )
    assert "-p, --workers N Worker processes of each model. Default: 1." in words
    assert (
        "--warm, --nowarm Warm the model in every worker before the first call. "
        "Default: --warm." in words
    )
    assert "openwhisk" not in text
    assert text.count("\n  deepaas-run --") == 2


def test_every_option_is_in_the_help(capsys):
    conf = configuration()
    with pytest.raises(SystemExit):
        read_settings(conf, ["-h"])
    text = capsys.readouterr().out
    names = {option.name for option in conf.on_command_line} - {"openwhisk-detect"}
    assert {name for name in names if f"--{name}" not in text} == set()
