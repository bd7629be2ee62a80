"""Uses of deepaas-cli in public scripts."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.acceptance.cli.conftest import HERE, PNG, THREE


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
