"""deepaas-cli: the real command, in a process of its own, as scripts call it."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import json
import os
import pty
import re
import resource
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import psutil
import pytest

from deepaas.cli.output import with_extension
from tests.server import MODELS, ROOT, wait_until

DEEPAAS_CLI = Path(sys.executable).parent / "deepaas-cli"
THREE = ROOT / "examples/digits/deepaas_digits/data/three.png"
HERE = "--nodeepaas_with_multiprocessing"
PNG = b"\x89PNG\r\n\x1a\n"
SOURCE = (MODELS / "returns.py").read_bytes()
WHEN = "2026-01-02T03:04:05+00:00"


class Ended:
    """How a command ended."""

    def __init__(self, code: int, stdout: bytes, stderr: bytes) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr.decode()

    def json(self):
        """What standard output holds, which is one line of JSON."""
        assert self.code == 0, self.stderr
        assert self.stdout.endswith(b"\n")
        assert self.stdout.count(b"\n") == 1
        return json.loads(self.stdout)


class Cli:
    """Starts `deepaas-cli` with a TMPDIR and a HOME of its own."""

    def __init__(self, directory: Path) -> None:
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.started: list[subprocess.Popen[bytes]] = []
        kept = {k: v for k, v in os.environ.items() if not k.startswith("DEEPAAS_")}
        self.environment = {
            **kept,
            "TMPDIR": str(self.temporary),
            "HOME": str(directory),
        }

    def start(self, *words, **options) -> subprocess.Popen[bytes]:
        """Start it in a process group of its own, which Ctrl-C would go to."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        options.setdefault("command", [DEEPAAS_CLI, *map(str, words)])
        process = subprocess.Popen(
            options.pop("command"),
            stdin=subprocess.DEVNULL,
            env={**self.environment, **options.pop("env", {})},
            start_new_session=True,
            **options,
        )
        self.started.append(process)
        return process

    def __call__(self, *words, **options) -> Ended:
        with running(self.start(*words, **options)) as process:
            stdout, stderr = process.communicate(timeout=50)
        return Ended(process.returncode, stdout or b"", stderr or b"")

    def model(self, name: str, *words, **options) -> Ended:
        """Call a model of the folder `models`."""
        return self(f"--model={name}={MODELS / name}.py", *words, **options)

    def written(self, source: str) -> str:
        """Write a model for one test; return the option that names it."""
        path = self.temporary.parent / "written.py"
        path.write_text(source)
        return f"--model=written={path}"

    def shell(self, script: str, **variables) -> Ended:
        """Run a script as the public ones are: with the command in their PATH."""
        path = f"{DEEPAAS_CLI.parent}:{os.environ['PATH']}"
        env = {"PATH": path, **{k: str(v) for k, v in variables.items()}}
        return self(command=["bash", "-c", script], env=env)


@contextlib.contextmanager
def running(process: subprocess.Popen[bytes]):
    """A process that ends with the test, if it does not before."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.fixture
def cli(tmp_path_factory):
    """A command that leaves nothing in the temporary directory."""
    cli = Cli(tmp_path_factory.mktemp("cli"))
    yield cli
    assert all(process.poll() is not None for process in cli.started)
    assert list(cli.temporary.iterdir()) == []


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """What lets the example fit its model once."""
    return {"DIGITS_MODEL_DIR": str(tmp_path_factory.mktemp("digits"))}


# What public scripts do


def test_a_picture_for_a_script(cli, digits, tmp_path):
    done = cli.shell(
        "deepaas-cli --model-name digits"
        ' --deepaas_method_output="$OUT" predict --data "$IN" --accept image/png 2>&1',
        **digits,
        OUT=tmp_path / "out",
        IN=THREE,
    )
    assert done.code == 0
    [line] = [x for x in done.stdout.decode().splitlines() if "New output" in x]
    assert line == f"--> New output is {tmp_path}/out.png"
    assert Path(line.split()[4]).read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [tmp_path / "out.png"]


def test_json_for_a_script(cli, digits, tmp_path):
    """It reads the keys that the model has chosen, from a file or standard output."""
    done = cli.shell(
        "deepaas-cli --model-name digits"
        ' --deepaas_method_output="$OUT" predict --data "$IN" > "$OUT.stdout"',
        **digits,
        OUT=tmp_path / "out",
        IN=THREE,
    )
    assert done.code == 0
    assert json.loads((tmp_path / "out.json").read_text())["label"] == 3
    assert json.loads((tmp_path / "out.stdout").read_text())["label"] == 3


OWN_STATUS = """
def predict():
    print("nothing of interest")
    return {"status": "done", "labels": ["a b", None, True, 1.5, "\\u00e4\\n'"]}
"""
PYTHON_FORM = (
    "{'status': 'done', 'labels': ['a b', None, True, 1.5, " + '"\u00e4\\n\'"]}'
)


@pytest.mark.parametrize("place", ["", HERE])
@pytest.mark.parametrize(
    ("filter_", "line"),
    [
        ("grep \"{'status'\"", f"return: {PYTHON_FORM}"),
        ("grep return: | cut -d' ' -f2-", PYTHON_FORM),
        ("grep -o '{.*}' | tail -1", PYTHON_FORM),
    ],
)
def test_the_python_form_for_a_script(cli, place, filter_, line):
    model = cli.written(OWN_STATUS)
    done = cli.shell(f"deepaas-cli {model} {place} predict 2>&1 | {filter_}")
    assert done.stdout.decode() == f"{line}\n"
    value = ast.literal_eval(line.removeprefix("return: "))
    assert value["labels"] == ["a b", None, True, 1.5, "\u00e4\n'"]


def test_no_python_form_of_what_is_not_json(cli, tmp_path):
    for what in "bytes", "path":
        done = cli.model("returns", HERE, "predict", "--what", what)
        assert (done.code, done.stderr) == (0, "")
    (tmp_path / "odd.json").write_text("[1, 2")
    source = "def predict():\n    return open('odd.json')"
    done = cli(cli.written(source), HERE, "predict", cwd=tmp_path)
    assert (done.code, done.stdout, done.stderr) == (0, b"[1, 2\n", "")
    done = cli.model("yields", HERE, "predict")
    assert "return:" not in done.stderr


# Arguments


GIVEN = {
    "n": ("-7", "int -7"),
    "l": ("x", "str x"),
    "debug": ("on", "str on"),
    "help": ("me", "str me"),
    "version": ("1", "str 1"),
    "config-file": ("/no/file", "str /no/file"),
    "demo-image": ("a b.png", "str a b.png"),
    "size(px), [x]": ("3", "int 3"),
    "list": ("[1, -2]", "list [1, -2]"),
    "delimited": ("-1e-3,2", "list [-0.001, 2.0]"),
    "dict": ('{"a": true}', "dict {'a': True}"),
    "nested": ("{'x': 1}", "dict {'x': 1}"),
    "bool": ("yes", "bool True"),
    "when": ("2026-01-02T03:04:05", "datetime 2026-01-02 03:04:05"),
    "range": ("1e-3", "float 0.001"),
    "choice": ("b", "str b"),
    "enum": ("BLUE", "Colour Colour.BLUE"),
    "strict": ("5", "int 5"),
    "password": ("pass", "str pass"),
}
DEFAULTS = {
    "n": "int 1",
    "demo-image": "str none.png",
    "bool": "bool False",
    "range": "float 0.5",
    "choice": "str a",
    "password": "str secret",
}
WRONG = {
    "n": ("1.x", "Not a valid integer."),
    "size(px), [x]": ("big", "Not a valid integer."),
    "list": ("[1, 'x']", '{"1": ["Not a valid integer."]}'),
    "delimited": ("1,x", '{"1": ["Not a valid number."]}'),
    "dict": ("[1]", "Not a valid mapping type."),
    "nested": ("{}", '{"x": ["Missing data for required field."]}'),
    "bool": ("perhaps", "Not a valid boolean."),
    "when": ("today", "Not a valid datetime."),
    "range": ("0", "Must be greater than 0 and less than or equal to 1."),
    "choice": ("c", "Must be one of: a, b."),
    "enum": ("GREEN", "Must be one of: RED, BLUE."),
    "strict": ("5.5", "Not a valid integer."),
}


def options(values) -> list[str]:
    return [w for name, (text, _) in values.items() for w in (f"--{name}", text)]


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_every_argument_given(cli, place):
    done = cli.model("options", *place, "predict", *options(GIVEN))
    assert done.json() == {name: value for name, (_, value) in GIVEN.items()}


def test_every_argument_left_out(cli):
    done = cli.model("options", "predict", "--n=1")
    assert done.json() == DEFAULTS


def test_every_argument_wrong(cli):
    done = cli.model("options", "predict", *options(WRONG))
    assert done.code == 2
    assert done.stdout == b""
    assert done.stderr.splitlines() == [
        f"deepaas-cli: argument --{name}: {message}"
        for name, (_, message) in WRONG.items()
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "deepaas-cli: argument --n: Missing data for required field."),
        (
            ["--n=1", "--n=2"],
            "deepaas-cli: argument --n: Takes one value, not several.",
        ),
        (["--n"], "argument --n: expected one argument"),
        (["--n=1", "--lis=1"], "unrecognized arguments: --lis=1"),
        (["--n=1", "--debu=1"], "unrecognized arguments: --debu=1"),
    ],
)
def test_a_missing_or_unknown_argument(cli, words, message):
    done = cli.model("options", HERE, "predict", *words)
    assert done.code == 2
    assert done.stdout == b""
    assert done.stderr.splitlines()[-1].endswith(message)


@pytest.mark.parametrize(
    "words",
    [
        ("--list", "1", "--list", "-2"),
        ("--list", "1", "-2", "--l=x"),
        ("--list=[1,-2]",),
        ("--list", "(1, -2)"),
    ],
)
def test_ways_to_give_a_list(cli, words):
    done = cli.model("options", HERE, "predict", "--n=1", *words)
    assert done.json()["list"] == "list [1, -2]"


LISTS = """
from webargs import fields

def get_predict_args():
    return {
        "labels": fields.List(fields.Str()),
        "tags": fields.DelimitedList(fields.Str()),
        "boxes": fields.List(fields.Dict()),
        "rows": fields.List(fields.List(fields.Int())),
    }

def predict(**kwargs):
    return kwargs
"""


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--labels", "1,2"], {"labels": ["1,2"]}),
        (["--labels", "1", "2"], {"labels": ["1", "2"]}),
        (["--labels", "'a','b'"], {"labels": ["'a','b'"]}),
        (["--labels", "[a, b]"], {"labels": ["[a, b]"]}),
        (["--labels", "(1)"], {"labels": ["(1)"]}),
        (["--labels", ' ["a", "1"]'], {"labels": ["a", "1"]}),
        (["--tags", "1,2"], {"tags": ["1", "2"]}),
        (["--tags", "'a','b'"], {"tags": ["'a'", "'b'"]}),
        (["--tags", "('a', '1')"], {"tags": ["a", "1"]}),
        (["--boxes", '{"x": 1}'], {"boxes": [{"x": 1}]}),
        (["--boxes", '[{"x": 1}]'], {"boxes": [{"x": 1}]}),
        (["--rows", "[1, 2]", "[3]"], {"rows": [[1, 2], [3]]}),
        (["--rows", "[[1, 2], [3]]"], {"rows": [[1, 2], [3]]}),
    ],
)
def test_elements_of_a_list(cli, words, values):
    done = cli(cli.written(LISTS), HERE, "predict", *words)
    assert done.json() == values


def test_negative_numbers(cli):
    call = ("predict", "--delimited", "-1e-3", "-.5", "2", "-1E9", "--n", "-1")
    done = cli.model("options", HERE, *call).json()
    assert done["delimited"] == "list [-0.001, -0.5, 2.0, -1000000000.0]"
    assert done["n"] == "int -1"


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("1", True), ("no", False), ("0", False)]
)
def test_ways_to_give_a_bool(cli, text, value):
    done = cli.model("options", HERE, "predict", "--n=1", "--bool", text)
    assert done.json()["bool"] == f"bool {value}"


def test_the_media_type(cli):
    assert cli.model("accept", "predict").stdout == b"image/png"
    words = ("--accept", "application/json")
    assert cli.model("accept", "predict", *words).json() == "application/json"
    done = cli.model("accept", "predict", "--accept=image/gif")
    assert done.code == 2
    assert "argument --accept: Must be one of: application/zip" in done.stderr


def test_help_describes_the_arguments(cli):
    done = cli.model("options", "predict", "-h", env={"COLUMNS": "200"})
    assert done.code == 0
    text = " ".join(done.stdout.decode().split())
    for description in (
        "--n INTEGER How many, 100% whole [integer; required]",
        "--list INTEGER [INTEGER ...] [list of integer]",
        "--delimited FLOAT [FLOAT ...] [list of float, parted by ',']",
        "--dict DICT [dict, as JSON]",
        "--when DATETIME [datetime]",
        "--bool BOOLEAN [boolean; default false]",
        "--range FLOAT [float; above 0; at most 1; default 0.5]",
        "--choice STRING [string; one of a, b; default a]",
        "--enum ENUM [enum; one of RED, BLUE]",
        "--password STRING [string; default ***]",
    ):
        assert description in text


def test_help_does_not_wait_for_the_warming(cli):
    asked = time.monotonic()
    done = cli.model("warm_sleeps", "predict", "--help")
    assert time.monotonic() - asked < 15
    assert done.code == 0
    assert b"--n INTEGER" in done.stdout
    assert "warming" not in done.stderr


# Options of our own after the command


ECHO = f"--model=echo={MODELS / 'echo.py'}"
OPTIONS = f"--model=options={MODELS / 'options.py'}"


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


# Files


def test_files(cli, tmp_path):
    (tmp_path / "a.csv").write_text("A")
    (tmp_path / "b.nii.gz").write_text("B")
    given = ["--image", "a.csv", "--many", "a.csv", "b.nii.gz", "--many=a.csv"]
    done = cli.model("files", "predict", *given, cwd=tmp_path)
    files = done.json()
    assert files["image"] == {
        "name": "image",
        "filename": "a.csv",
        "content_type": "text/csv",
        "original_filename": "a.csv",
        "content": "A",
    }
    assert [file["filename"] for file in files["many"]] == [
        *("a.csv", "b.nii.gz", "a.csv")
    ]
    assert [file["content"] for file in files["many"]] == ["A", "B", "A"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "argument --data: No such file: missing.png"),
        (["/"], "argument --data: Is no regular file: /"),
        (["/dev/null"], "argument --data: Is no regular file: /dev/null"),
        ([THREE, "--data", THREE], "argument --data: Takes one file, not several."),
    ],
)
def test_a_file_that_cannot_be_given(cli, words, message):
    done = cli.model("upload", "predict", "--data", *words)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr == f"deepaas-cli: {message}\n"


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_the_original_is_never_deleted(cli, place):
    # in the temporary directory, where a model's own files are deleted
    original = cli.temporary / "original.bin"
    for size in (10, 3_000_000):
        original.write_bytes(b"x" * size)
        for words in ([], ["--delete=1"]):
            call = ("predict", "--data", original, *words)
            assert cli.model("spoils_input", *place, *call).code == 0
            assert original.read_bytes() == b"x" * size
    original.unlink()


# Results


VALUES = {
    "dict": {"a": [1, 2.5, None, True]},
    "str": "text",
    "none": None,
    "number": 3,
    "array": [0, 1, 2],
    "scalar": 0.5,
    "numpy": {"f": 1.0, "i": 2, "b": True},
    "matrix": {"m": [[1.0], [1.0]], "o": [1, "a"]},
    "nan": {"a": None, "b": [None], "c": [None]},
    "dates": [WHEN, "2026-01-02", "03:04:05"],
    "odd": ["00000000-0000-0000-0000-000000000001", "1.50", "red", {"x": 1, "y": 2}],
    "set": {"tuple": [1, 2], "set": [7]},
    "keys": {"1": "a", "2": None, "[3, 4]": 2**70},
}


@pytest.fixture
def raw(tmp_path):
    """A configuration with an option that is the server's alone."""
    file = tmp_path / "deepaas.conf"
    model = f"returns={MODELS / 'returns.py'}"
    file.write_text(
        f"[DEFAULT]\nmodel = {model}\nmodel_name = returns\nraw_predictions = true\n"
    )
    return f"--config-file={file}"


@pytest.mark.parametrize("what", VALUES)
def test_values(cli, raw, tmp_path, what):
    out = tmp_path / "out"
    done = cli(raw, f"--output={out}", "predict", "--what", what)
    assert done.json() == VALUES[what]
    assert json.loads(Path(f"{out}.json").read_bytes()) == VALUES[what]
    new, returned = done.stderr.splitlines()
    assert new == f"--> New output is {out}.json"
    assert ast.literal_eval(returned.removeprefix("return: ")) == VALUES[what]


def test_a_value_without_a_file(cli):
    done = cli.model("returns", "predict", "--what=dict")
    assert done.stdout == b'{"a":[1,2.5,null,true]}\n'
    assert done.stderr == "return: {'a': [1, 2.5, None, True]}\n"


def test_a_value_that_looks_wrapped(cli):
    """It is the model's own, as in public modules."""
    own = {"status": "OK", "predictions": [1, 2]}
    done = cli(cli.written(f"def predict():\n    return {own}"), HERE, "predict")
    assert done.json() == own


FILES = {
    "bytes": b"\x00\xff",
    "memoryview": b"view",
    "BytesIO": b"456789",
    "StringIO": "caf\u00e9".encode(),
    "open": SOURCE,
    "unbuffered": SOURCE,
    "path": SOURCE,
    "returned": SOURCE,
    "temporary": b"x" * 10,
    "kept": b"x" * 10,
    "large": b"x" * 3_000_000,
    "large kept": b"x" * 3_000_000,
    "large path": b"x" * 3_000_000,
    "large bytes": b"x" * 3_000_000,
    "reopened": b"x" * 10,
    "in folder": b"gone",
    "zipped": b"inside",
}


@pytest.mark.parametrize("what", FILES)
def test_files_returned(cli, tmp_path, what):
    out = tmp_path / "out"
    call = ("predict", "--what", what, "--accept=image/png")
    done = cli.model("returns", f"--deepaas_method_output={out}", *call)
    assert (done.code, done.stdout) == (0, b"")
    # a file may say its type itself
    written = f"{out}.py" if what == "returned" else f"{out}.png"
    assert done.stderr == f"--> New output is {written}\n"
    assert Path(written).read_bytes() == FILES[what]
    piped = cli.model("returns", HERE, "predict", "--what", what)
    assert (piped.code, piped.stdout, piped.stderr) == (0, FILES[what], "")
    assert (MODELS / "returns.py").read_bytes() == SOURCE


def test_a_file_of_json(cli, tmp_path):
    (tmp_path / "pretty.json").write_text(
        '{\r\n  "a": [\n    1.50,\n    " \\n"\n  ]\n}\n'
    )
    source = "def predict():\n    return open('pretty.json')"
    call = (cli.written(source), f"--output={tmp_path / 'out'}", "predict")
    for place in (), (HERE,):
        done = cli(*place, *call, cwd=tmp_path)
        assert done.stdout == b'{ "a": [ 1.50, " \\n" ] }\n'
        assert done.json() == {"a": [1.5, " \n"]}
        pretty = (tmp_path / "pretty.json").read_bytes()
        assert (tmp_path / "out.json").read_bytes() == pretty


def test_text_of_another_type(cli, tmp_path):
    call = ("predict", "--accept=text/csv", "--what")
    assert cli.model("returns", HERE, *call, "str").stdout == b"text"
    assert cli.model("returns", HERE, *call, "none").stdout == b""
    wrong = cli.model("returns", f"--output={tmp_path / 'out'}", *call, "dict")
    assert wrong.code == 1
    assert "the model returned a dict for text/csv" in wrong.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no form", "NoJSONForm: object has no JSON form, at a[1].b"),
        (
            "missing",
            "FileNotFoundError: [Errno 2] No such file or directory: "
            f"'{MODELS / 'missing'}'",
        ),
    ],
)
def test_what_cannot_be_sent(cli, what, message):
    done = cli.model("returns", "predict", "--what", what)
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == f"deepaas-cli: {message}\n"


def test_an_answer_that_does_not_fit_the_schema(cli):
    done = cli.model("unfit", "predict")
    assert (done.code, done.stdout) == (1, b"")
    assert '"label":["Missing data for required field."]' in done.stderr


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_a_coroutine(cli, place):
    assert cli.model("coroutine", *place, "predict").json() == 1


@pytest.mark.parametrize(
    ("path", "media_type", "written"),
    [
        ("a/out", "image/png", "a/out.png"),
        ("out.PNG", "image/png", "out.PNG"),
        ("out.jpeg", "image/jpeg", "out.jpeg"),
        ("out.dat", "image/png", "out.dat.png"),
        ("out", "text/csv; charset=utf-8", "out.csv"),
        ("model.h5", "application/octet-stream", "model.h5"),
        ("out", "audio/wav", "out.wav"),
        ("out", "audio/ogg", "out.ogg"),
        ("out", "image/jpg", "out.jpg"),
        ("out.jpeg", "image/jpg", "out.jpeg"),
        ("out", "image/webp", "out.webp"),
        ("out", "application/x-ndjson", "out.ndjson"),
        ("out.jsonl", "application/x-ndjson", "out.jsonl"),
        ("out", "application/xml", "out.xml"),
        ("out", "application/gzip", "out.gz"),
        ("out.xyz", "chemical/x-nobody-knows", "out.xyz"),
    ],
)
def test_extensions(path, media_type, written):
    assert with_extension(path, media_type) == written


def test_standard_output_holds_the_result_and_nothing_else(cli):
    for place, label in ((), r"\[speaks \d+\] "), ((HERE,), ""):
        done = cli.model("speaks", *place, "predict", "--word=hi")
        assert done.json() == "hi"
        for said in "printed", "on stderr", "written":
            assert re.search(f"^{label}{said} hi$", done.stderr, re.MULTILINE)
        assert re.search(f"^{label}unfinished hi", done.stderr, re.MULTILINE)
        assert "logged hi" in done.stderr


# Where the result cannot go


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/proc/out", "/proc/out is no regular file."),
        (THREE / "out", f"Cannot write in {THREE}."),
        ("/dev/null", "/dev/null is no regular file."),
        ("/dev/stdout", "/dev/stdout is no regular file."),
        ("/dev/out", "/dev/out is no regular file."),
        ("", "'' names no file."),
        (".", "'.' names no file."),
        ("out/..", "'out/..' names no file."),
        ("out/", "'out/' names no file."),
    ],
)
def test_no_place_for_the_output(cli, tmp_path, path, message):
    with open(tmp_path / "stdout", "wb") as stdout:
        done = cli.model(
            *("echo", f"--output={path}", "predict", "--n=1"),
            stdout=stdout,
            cwd=tmp_path,
        )
    assert [path.name for path in tmp_path.iterdir()] == ["stdout"]
    assert (tmp_path / "stdout").read_bytes() == b""
    assert done.code == 2
    prefix = "deepaas-cli: argument --deepaas_method_output: "
    assert done.stderr == f"{prefix}{message}\n"


def test_a_disk_that_is_full(cli, tmp_path):
    """A limit on the size of files stands in for it: the writing fails half-way."""
    out = tmp_path / "out.bin"
    out.write_text("before")
    done = cli.model(
        *("returns", f"--output={out}", "predict", "--what=large bytes"),
        preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)
        ),
    )
    assert (done.code, done.stdout) == (1, b"")
    assert done.stderr == f"deepaas-cli: Cannot write {out}: File too large.\n"
    assert out.read_text() == "before"
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_is_replaced_keeps_its_mode(cli, tmp_path):
    out = tmp_path / "out.json"
    out.touch()
    out.chmod(0o640)
    assert cli.model("echo", f"--output={out}", "predict", "--n=1").code == 0
    assert json.loads(out.read_text()) == {"n": 1}
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_folders_are_made(cli, tmp_path):
    out = tmp_path / "a/b/out.json"
    assert cli.model("echo", f"--output={out}", "predict", "--n=1").code == 0
    assert json.loads(out.read_text()) == {"n": 1}


def test_a_link_is_followed(cli, tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    out = f"--output={tmp_path / 'link.json'}"
    assert cli.model("echo", out, "predict", "--n=1").code == 0
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "real.json").read_text()) == {"n": 1}


def test_a_folder_in_memory(cli):
    """It is under /dev, but no device."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        done = cli.model("echo", f"--output={folder}/out.json", "predict", "--n=1")
        assert json.loads(Path(folder, "out.json").read_text()) == done.json()


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [
        (">/dev/full", 1, "Cannot write to standard output: No space left on device."),
        (">&-", 1, "Cannot write to standard output: it is closed."),
        ("| head -c 5 >&2; exit ${PIPESTATUS[0]}", 141, "xxxxx"),
    ],
)
def test_standard_output_that_cannot_take_it(cli, redirection, code, message):
    call = f"--model=returns={MODELS}/returns.py {HERE} predict --what 'large bytes'"
    done = cli.shell(f"deepaas-cli {call} {redirection}")
    assert done.code == code
    assert done.stderr.removeprefix("deepaas-cli: ").strip() == message


def test_help_into_a_closed_pipe(cli):
    call = f"--model=options={MODELS}/options.py predict -h"
    done = cli.shell(f"deepaas-cli {call} | true; deepaas-cli --help | head -1")
    assert done.stderr == ""


# Failures


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
        "deepaas-cli: The model 'written' cannot be served: it ended its process: "
    )
    assert done.stderr == f"{message}{cause}\n"


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
        "FileNotFoundError: weights.h5 is missing\n"
    )


def test_a_warming_that_ends_the_worker(cli):
    done = cli.model("warm_dies", "predict")
    assert done.code == 1
    assert "its worker died: exit code 7" in done.stderr


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
    assert "There is no model named 'nobody'" in done.stderr


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
        (b"[DEFAULT]\nbase_path = /a b", "config-file: --base-path "),
        (b"[DEFAULT]\nmodel = x", "model: Takes NAME=TARGET, not 'x'."),
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
        ("--model=x", "model: Takes NAME=TARGET, not 'x'."),
        ("--model=x=", "model: Takes NAME=TARGET, not 'x='."),
        ("--config-file=/no/file", "config-file: Failed to find some config files"),
        ("--config-file=/", "config-file: [Errno 21] Is a directory: '/'"),
    ],
)
def test_an_option_that_cannot_be_used(cli, option, message):
    done = cli(option, "predict")
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"deepaas-cli: argument --{message}")


# Trainings


def test_a_training(cli, tmp_path):
    out = f"--output={tmp_path / 'out'}"
    done = cli.model("steps", out, "train", "--steps=2", "--password=secret")
    job = done.json()
    assert json.loads((tmp_path / "out.json").read_bytes()) == job
    assert set(job) == {
        *("uuid", "model", "date", "args", "status", "progress", "result")
    }
    assert re.fullmatch("[0-9a-f]{32}", job["uuid"])
    assert job["model"] == "steps"
    assert job["status"] == "done"
    assert job["args"] == {
        "steps": 2,
        "folder": "",
        "fail": False,
        "password": "***",
    }
    assert job["progress"]["step"] == job["progress"]["total"] == 2
    assert job["progress"]["metrics"] == {"loss": 0.5}
    assert job["result"]["output"] == {"steps": 2}
    assert job["result"]["duration"] >= 0
    assert job["date"] < job["result"]["finish_date"]
    assert "secret" not in done.stderr


def test_a_training_with_the_deepest_output(cli):
    job = cli.model("trains", "train", "--result=deepest").json()
    assert job["result"]["output"] == json.loads("[" * 254 + "]" * 254)


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_a_training_that_fails(cli, place):
    done = cli.model("steps", *place, "train", "--fail=true")
    assert done.code == 1
    job = json.loads(done.stdout)
    assert job["status"] == "error"
    assert job["message"] == "ValueError: no luck"
    assert done.stderr.splitlines()[-1] == "deepaas-cli: ValueError: no luck"


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_progress_in_lines(cli, place):
    done = cli.model("steps", *place, "train", "--steps=4")
    assert "\r" not in done.stderr
    lines = done.stderr.splitlines()
    assert "step 1 of 4, loss 1" in lines
    assert "step 4 of 4, loss 0.25" in lines


class Terminal:
    """A terminal, and what is shown on it."""

    def __init__(self, columns: int) -> None:
        self._master, self.slave = pty.openpty()
        size = struct.pack("HHHH", 24 if columns else 0, columns, 0, 0)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)
        self._shown = b""

    def wait_for(self, text: str) -> None:
        while text.encode() not in self._shown:
            self._shown += os.read(self._master, 65536)

    def read_to_end(self) -> str:
        os.close(self.slave)
        with contextlib.suppress(OSError):  # Linux: everyone has closed it
            while data := os.read(self._master, 65536):
                self._shown += data
        os.close(self._master)
        return self._shown.decode()


@pytest.mark.parametrize("place", [(), (HERE,)])
@pytest.mark.parametrize("columns", [0, 70])
def test_a_progress_bar_on_a_terminal(cli, tmp_path, columns, place):
    terminal = Terminal(columns)
    call = (f"--model=m={MODELS / 'steps.py'}", *place, "train")
    call = (*call, f"--folder={tmp_path}")
    with running(cli.start(*call, stderr=terminal.slave)) as process:
        for step in 1, 2, 3:
            terminal.wait_for(f"| {step}/3 ")
            (tmp_path / str(step)).touch()
        job = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == 0
    assert job["status"] == "done"
    shown = terminal.read_to_end()
    assert "100%|" in shown
    assert "loss 0.3333" in shown


def test_a_picture_is_not_for_a_terminal(cli):
    terminal = Terminal(80)
    call = ("predict", "--what=dict", "--accept=image/png")
    # It is refused before the model is called, which would fail.
    done = cli.model("returns", *call, stdout=terminal.slave)
    assert done.code == 2
    assert done.stderr == (
        "deepaas-cli: argument --deepaas_method_output: "
        "Needed for a result of type image/png (or a pipe).\n"
    )
    bytes_ = cli.model("returns", "predict", "--what=bytes", stdout=terminal.slave)
    assert bytes_.code == 2
    text = cli.model(
        *("returns", "predict", "--what=str", "--accept=text/csv"),
        stdout=terminal.slave,
    )
    assert text.code == 0
    assert terminal.read_to_end() == "text"


# Ends


def begun(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Wait until a call of `steps` runs; give every process of it."""
    assert process.stderr is not None
    for line in process.stderr:
        if b"step 1 begins" in line:
            return psutil.Process(process.pid).children(recursive=True)
    raise AssertionError("it ended before its time")


def all_gone(processes: list[psutil.Process]) -> None:
    def gone(process: psutil.Process) -> bool:
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    wait_until(lambda: all(map(gone, processes)))


@pytest.mark.parametrize("place", [(), (HERE,)])
@pytest.mark.parametrize("command", ["predict", "train"])
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_a_signal(cli, tmp_path, number, code, command, place):
    out = tmp_path / "out"
    call = (f"--model=m={MODELS / 'steps.py'}", f"--output={out}", *place, command)
    # the tests themselves may run under nohup
    heard = {"preexec_fn": lambda: signal.signal(number, signal.SIG_DFL)}
    with running(cli.start(*call, f"--folder={tmp_path}", **heard)) as process:
        family = begun(process)
        os.killpg(process.pid, number)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == code
    name = signal.Signals(number).name
    # In this process, the model's child is in the group, and may say so last.
    assert f"deepaas-cli: interrupted by {name}" in stderr.decode().splitlines()
    assert b"deepaas/cmd/cli.py" not in stderr
    if command == "train":
        assert json.loads(stdout)["status"] == "cancelled"
    else:
        assert stdout == b""
    all_gone(family)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_a_signal_while_it_warms(cli, place):
    call = (f"--model=m={MODELS / 'warm_sleeps.py'}", *place, "predict")
    with running(cli.start(*call)) as process:
        assert process.stderr is not None
        assert any(b"warming" in line for line in process.stderr)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"deepaas-cli: interrupted by SIGINT\n"
    all_gone(family)


STUBBORN = """
import time

def hold():
    try:
        print("begun", flush=True)
        time.sleep(40)
    except BaseException:
        return 1

def predict():
    return 1

"""


@pytest.mark.parametrize(
    ("place", "rest"),
    [
        ((HERE,), "predict = hold"),
        ((HERE,), "warm = hold"),
        ((HERE,), "def predict():\n    hold()\n    raise ValueError"),
        ((HERE,), "def predict():\n    hold()\n    raise SystemExit"),
        ((HERE,), "def predict():\n    yield hold()"),
        ((HERE,), "hold()"),
        ((), "hold()"),
    ],
)
def test_a_signal_that_the_model_catches(cli, place, rest):
    call = (cli.written(STUBBORN + rest), *place, "predict")
    with running(cli.start(*call)) as process:
        assert process.stderr is not None
        assert any(b"begun" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, b"")
    assert stderr == b"deepaas-cli: interrupted by SIGINT\n"


def test_nohup(cli, tmp_path):
    call = (f"--model=m={MODELS / 'steps.py'}", "train", f"--folder={tmp_path}")
    ignore = {"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)}
    with running(cli.start(*call, "--steps=1", **ignore)) as process:
        begun(process)
        process.send_signal(signal.SIGHUP)
        (tmp_path / "1").touch()
        stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert json.loads(stdout)["status"] == "done"


def test_a_worker_that_is_killed(cli, tmp_path):
    call = (f"--model=m={MODELS / 'steps.py'}", "predict", f"--folder={tmp_path}")
    with running(cli.start(*call)) as process:
        family = begun(process)
        [worker] = psutil.Process(process.pid).children()
        worker.kill()
        stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (1, b"")
    assert stderr.decode().splitlines()[-1] == (
        "deepaas-cli: The worker died in the call: SIGKILL (out of memory?)."
    )
    all_gone(family)


def test_the_worker_ends_with_a_killed_command(cli, tmp_path):
    call = (f"--model=m={MODELS / 'steps.py'}", "predict", f"--folder={tmp_path}")
    with running(cli.start(*call)) as process:
        family = begun(process)
        process.kill()
        process.communicate(timeout=30)
    all_gone(family)


# -- what is yielded


@pytest.mark.parametrize("place", [(), (HERE,)])
@pytest.mark.parametrize("asynchronous", ["no", "yes"])
def test_a_stream(cli, place, asynchronous):
    words = ("predict", "--asynchronous", asynchronous)
    done = cli.model("yields", *place, *words)
    assert done.code == 0
    assert done.stdout == b'{"n":0}\n{"n":1}\n{"n":2}\n'
    failed = cli.model("yields", *place, *words, "--fail_at", "1")
    assert failed.code == 1
    assert failed.stdout == b""
    assert "not this one" in failed.stderr
