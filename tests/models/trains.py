"""Trains step by step: each step waits for a file, if there is a folder to look in."""

import enum
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import numpy
from aiohttp import web
from webargs import fields

from deepaas import progress

warm_in = None

USER = {"user": fields.Str(), "key": fields.Str(load_only=True)}


class Metric(str, enum.Enum):
    LOSS = "loss"


class Plain:
    def __repr__(self):
        return "a plain object"


RESULTS = {
    "numpy": lambda: {"mean": numpy.float32(0.5), "all": numpy.arange(3)},
    "nan": lambda: [float("nan"), float("inf"), 1.5],
    "bytes": lambda: b"\xff\x00",
    "object": lambda: {"kept": 1, "odd": Plain()},
    "set": lambda: {1},
    "nothing": lambda: None,
    "deepest": lambda: json.loads("[" * 254 + "]" * 254),
    "large": lambda: "x" * 100_000,
}


def warm():
    global warm_in
    warm_in = os.getpid()


def get_train_args():
    return {
        "steps": fields.Int(load_default=0),
        "folder": fields.Str(load_default=""),
        "lines": fields.Int(load_default=0),
        "child": fields.Bool(load_default=False),
        "says": fields.Str(load_default=""),
        "reports": fields.Str(load_default=""),
        "fail": fields.Str(load_default=""),
        "result": fields.Str(load_default="nothing"),
        "when": fields.DateTime(),
        "id": fields.UUID(),
        "price": fields.Decimal(),
        "share": fields.Float(allow_nan=True),
        "password": fields.Str(load_only=True),
        "nested": fields.Nested(USER),
        "users": fields.List(fields.Nested(USER), location="json"),
        "pair": fields.Tuple(
            (fields.Str(), fields.Str(load_only=True)), location="json"
        ),
        "by_name": fields.Dict(values=fields.Nested(USER), location="json"),
        "long": fields.List(fields.Int(), location="json"),
        "deep": fields.Raw(location="json"),
        "file": fields.Field(metadata={"type": "file", "location": "form"}),
    }


def train(
    *,
    steps,
    folder,
    lines,
    child,
    says,
    reports,
    fail,
    result,
    file=None,
    deep=None,
    **others,
):
    if child:
        command = [sys.executable, "-c", "import time; time.sleep(99)"]
        print("child", subprocess.Popen(command).pid)
        print("stray", subprocess.Popen(command, start_new_session=True).pid)
    print(says, end="")
    if reports == "huge":
        progress.report(10**5000, loss=10**5000, date=-1)
    if reports == "named":
        progress.report(1, **{Metric.LOSS: numpy.float32(0.5)})
    if file is not None:
        print("file", Path(file.filename).read_text())
    for number in range(lines):
        print("line", number)
    for step in range(1, steps + 1):
        while folder and not Path(folder, str(step)).exists():
            time.sleep(0.01)
        print("step", step)
        progress.report(step, steps, loss=1 / step, right=Decimal("0.5"))
    if fail:
        fails(fail)
    return deep if result == "deep" else RESULTS[result]()


def fails(how):
    if how == "request":
        raise web.HTTPBadRequest(reason="the pictures are too small")
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError(how)


def get_predict_args():
    return {
        "folder": fields.Str(load_default=""),
        "fail": fields.Bool(load_default=False),
        "length": fields.Int(load_default=5),
        "file": fields.Field(metadata={"type": "file", "location": "form"}),
        "accept": fields.Str(
            load_default="image/png",
            metadata={"enum": ["image/png", "application/json", "text/plain"]},
        ),
    }


def predict(folder, fail, length, accept, file=None):
    while folder and not Path(folder, "go").exists():
        time.sleep(0.01)
    if fail:
        raise web.HTTPConflict(reason="not now")
    if file is not None:
        return open(file.filename, "rb")
    if accept == "image/png":
        return b"\x89PNG" * 1000
    if accept == "text/plain":
        return ("plain" * length)[:length]
    return {"warm": warm_in == os.getpid(), "pid": os.getpid()}
