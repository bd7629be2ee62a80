"""Arguments of the author's own code, and files that show where it runs."""

import enum
import os
import threading
import time
from pathlib import Path

from marshmallow import Schema, ValidationError, fields, post_load

STATE = Path(os.environ.get("OWN_CODE_STATE", "/nowhere"))
with open(STATE / "pids" if STATE.exists() else os.devnull, "a") as pids:
    print(os.getpid(), file=pids)


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


class Even(fields.Int):
    """An own class of fields."""

    def _deserialize(self, value, *args, **kwargs):
        number = super()._deserialize(value, *args, **kwargs)
        if number % 2:
            raise ValidationError("Must be even.")
        return number


class Point:
    """A value that only this module can unpickle."""

    def __init__(self, x):
        self.x = x
        self.lock = None


class PointSchema(Schema):
    x = fields.Int(required=True)

    @post_load
    def make(self, data, **kwargs):
        return Point(**data)


def below(limit):
    def check(value):
        if value >= limit:
            raise ValidationError(f"Must be below {limit}.")

    return check


def weights():
    return sorted(path.stem for path in STATE.glob("*.weights"))


def get_metadata():
    return {"description": f"{len(weights())} weights", "pid": os.getpid()}


def get_predict_args():
    def known(name):
        if name not in weights():
            raise ValidationError(f"One of {', '.join(weights())}.")

    return {
        "n": Even(load_default=0),
        "mode": fields.Enum(Mode, by_value=True, load_default=Mode.FAST),
        "point": fields.Nested(PointSchema, load_default=None),
        "small": fields.Int(load_default=0, validate=below(10)),
        "weights": fields.Str(validate=known),
        "secret": fields.Str(load_only=True, load_default="x"),
        "seconds": fields.Float(load_default=0),
    }


def predict(n, mode, point, small, secret, seconds, weights=None):
    time.sleep(seconds)
    x = None if point is None else point.x
    return {"n": n, "mode": mode.name, "x": x, "small": small, "pid": os.getpid()}


def get_train_args():
    return {"name": fields.Str(required=True), "remove": fields.Str(load_default="")}


def train(name, remove):
    if remove:
        (STATE / f"{remove}.weights").unlink()
    (STATE / f"{name}.weights").write_text("")
    return threading.active_count()
