"""The arguments of a model as options of deepaas-cli."""

from __future__ import annotations

import time

import pytest

from tests.acceptance.cli.conftest import HERE

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
        (["--n=1", "--lis=1"], "unrecognized arguments: --lis=1; did you mean --list?"),
        (
            ["--n=1", "--debu=1"],
            "unrecognized arguments: --debu=1; did you mean --debug?",
        ),
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
