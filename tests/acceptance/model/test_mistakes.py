"""Mistakes of authors: the model does not start, or a line of the log says it."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Serve

ARGUMENTS = """\
from webargs import fields, validate
def get_predict_args():
    return {"n": fields.Int(load_default=1), "out-put": fields.Str(data_key="o")}
"""
BAD_CHOICES = """\
from webargs import fields
def get_predict_args():
    return {"accept": fields.Str(enum=["application/json", "jpeg"])}
def predict(accept): pass
"""


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            f"{ARGUMENTS}\ndef predict(m):\n    return m\n",
            "predict cannot be called: it does not take 'n' and it needs 'm', which is "
            "not among its arguments (net.py, line 5)",
        ),
        (
            "def predict(image):\n    pass\n",
            "predict cannot be called: it needs 'image', which is not among its "
            "arguments (net.py, line 1)",
        ),
        (
            f"{ARGUMENTS}class Model:\n    def predict(n): pass\n"
            "predict = Model().predict\n",
            "predict cannot be called: it does not take 'n' (net.py, line 5)",
        ),
        (
            "def predict_batch(): pass\n",
            "predict_batch cannot be called: it takes no list (net.py, line 1)",
        ),
        (
            "def train(epochs): pass\n",
            "train cannot be called: it needs 'epochs', which is not among its "
            "arguments (net.py, line 1)",
        ),
        (BAD_CHOICES, "accept: 'jpeg' is not a media type (net.py, line 2)"),
        (
            "def predict(\n    a: int,\n    data: bytes = b'',\n): pass\n",
            "predict: TypeError: the parameter 'data' is annotated with bytes, which "
            "cannot be an argument: str, int, ",
        ),
        (
            "from __future__ import annotations\ndef predict(a: Absent): pass\n",
            "predict: TypeError: the annotation of the parameter 'a' cannot be "
            "resolved: name 'Absent' is not defined (net.py, line 2)",
        ),
        (
            "def get_predict_args():\n    return 1 / 0\ndef predict(): pass\n",
            "get_predict_args: ZeroDivisionError: division by zero (net.py, line 2)",
        ),
        (
            "def helper():\n    raise OSError('no disk')\n"
            "def warm():\n    helper()\ndef predict(): pass\n",
            "warm: OSError: no disk (net.py, line 2)",
        ),
        (
            "import sys\ndef warm():\n    sys.exit(3)\ndef predict(): pass\n",
            "warm: SystemExit: 3 (net.py, line 3)",
        ),
        (
            "import os\ndef warm():\n    os.abort()\ndef predict(): pass\n",
            "warm: a worker died: SIGABRT",
        ),
        ("def predict(:\n", "SyntaxError: invalid syntax (net.py, line 1)"),
        (
            "def prediction(): pass\n",
            "neither predict, predict_batch nor train; it has prediction (net.py, "
            "line 1).",
        ),
    ],
)
def test_one_line_with_file_and_line(fail_to_start, tmp_path, source, words):
    (tmp_path / "net.py").write_text(source)
    ended = fail_to_start("--model=m=net.py", cwd=tmp_path)
    assert ended.code == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert "The model 'm' cannot be served: " in last
    assert words in last
    assert "Traceback" not in ended.output


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            f"{ARGUMENTS}def predict(n): return n\n",
            "predict cannot take some calls: it does not take 'out-put' (net.py, line "
            "4)",
        ),
        (
            "def predict(): return 1\ndef train(config): pass\n",
            "train cannot be called: it needs 'config', which is not among its "
            "arguments (net.py, line 2)",
        ),
        (
            "def predict(): return 1\ndef get_metadta(): pass\n",
            "it has no get_metadata; get_metadta is never called (net.py, line 2)",
        ),
    ],
)
def test_a_warning_where_predict_works(serve: Serve, tmp_path, source, words):
    (tmp_path / "net.py").write_text(source)
    server = serve("--model=m=net.py", cwd=tmp_path)
    server.wait_for_output(re.escape(f"m: {words}"))
    assert server.output.count(words) == 1
    answer = server.post("/v2/models/m/predict/")
    assert answer.json() == {"status": "OK", "predictions": "1"}


DECORATED = """\
import functools, sys
from webargs import fields

def with_session(function):
    @functools.wraps(function)
    def inner(**kwargs):
        return function("session", **kwargs)
    return inner

def log(function):
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

class Arguments:
    def __init__(self, **kwargs):
        self.__dict__ = kwargs

@log
def get_predict_args():
    return {"n": fields.Int(load_default=1), "size(px)": fields.Int(load_default=2)}

@with_session
@log
def predict(session, **kwargs):
    return [session, kwargs]

def train(**kwargs):
    return Arguments(**kwargs)

setattr(sys.modules[__name__], "warm", lambda: None)
"""


def test_functions_that_take_anything(serve: Serve, tmp_path):
    (tmp_path / "net.py").write_text(DECORATED)
    server = serve("--model=m=net.py", "--raw-predictions", cwd=tmp_path)
    assert "WARNING" not in server.output
    answer = server.post("/v2/models/m/predict/").json()
    assert answer["predictions"] == ["session", {"n": 1, "size(px)": 2}]
