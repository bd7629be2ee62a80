"""Annotations as options of deepaas-cli."""

from __future__ import annotations

import pytest

from tests.acceptance.cli.conftest import HERE
from tests.server import MODELS

KINDS = MODELS / "annotated_kinds.py"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.txt"
    path.write_text("text")
    return path


@pytest.mark.parametrize("place", [[], [HERE]])
def test_values(cli, picture, place):
    words = ["--image", picture, "--notes", picture, "--scans", picture, picture]
    words += ["--own_mode=fast", "--level=HIGH", "--box", '{"x": 0.25}', "--count=3"]
    found = cli.model("annotated", *place, "predict", *words).json()
    assert found["image"] == ["UploadedFile", "text"]
    assert found["notes"] == ["Path", "text", ".txt"]
    assert found["scans"] == ["list", *[["UploadedFile", "text"]] * 2]
    assert (found["own_mode"], found["level"]) == (
        ["Mode", "Mode.FAST"],
        ["Level", "Level.HIGH"],
    )
    assert found["box"] == ["Box", "Box(x=0.25, mode=<Mode.FAST: 'fast'>, tags=[])"]


@pytest.mark.parametrize("place", [[], [HERE]])
@pytest.mark.parametrize("name", ["Decorated", "Positional"])
def test_positional_arguments(cli, name, place):
    model = f"--model=m={KINDS}:{name}"
    words = {"Decorated": ["--n=3"], "Positional": ["--c=3"]}[name]
    expected = {"Decorated": {"wrapped": [3, 2]}, "Positional": [1, None, 3]}[name]
    assert cli(model, *place, "predict", *words).json() == expected


def test_values_that_do_not_fit(cli, picture):
    done = cli.model("annotated", "predict", "--image", picture, "--threshold=2")
    assert done.code == 2
    assert "argument --threshold: Must be greater than or equal to 0" in done.stderr
    done = cli.model("annotated", "predict", "--image", picture, '--box={"x": 1}')
    assert done.code == 1
    assert "Box: x may not be 1" in done.stderr


def test_help(cli):
    text = " ".join(cli.model("annotated", "predict", "--help").stdout.decode().split())
    assert "Probability of a box [float; at least 0; at most 1; default 0.5]" in text
    assert "[string; one of fast, exact; default exact]" in text
    assert "--image FILE A file [file; required]" in text
    assert "_internal" not in text


def test_mistakes(cli):
    done = cli(cli.written("def predict(image): pass\n"), "predict")
    assert done.code == 1
    assert "predict cannot be called: it needs 'image'" in done.stderr
    for place in ([], [HERE]):
        broken = cli.written("def warm():\n    1 / 0\ndef predict(): pass\n")
        done = cli(broken, *place, "predict")
        assert done.code == 1
        assert "warm: ZeroDivisionError: division by zero (" in done.stderr
        assert "line 2)" in done.stderr
