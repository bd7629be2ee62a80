"""The result of a model, on standard output and in a file."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import HERE, SOURCE, WHEN
from tests.server import MODELS

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


def test_standard_output_holds_the_result_and_nothing_else(cli):
    for place, label in ((), r"\[speaks \d+\] "), ((HERE,), ""):
        done = cli.model("speaks", *place, "predict", "--word=hi")
        assert done.json() == "hi"
        for said in "printed", "on stderr", "written":
            assert re.search(f"^{label}{said} hi$", done.stderr, re.MULTILINE)
        assert re.search(f"^{label}unfinished hi", done.stderr, re.MULTILINE)
        assert "logged hi" in done.stderr


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
