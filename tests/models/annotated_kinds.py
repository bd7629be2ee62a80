"""Functions of many kinds whose annotations are their arguments: `file.py:NAME`."""

import functools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Literal, NewType

from marshmallow import fields
from marshmallow.validate import Range

from deepaas.model.v2.base import BaseModel

Count = NewType("Count", int)


def wrapped(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return {"wrapped": function(*args, **kwargs)}

    return inner


class Method:
    def predict(self, n: int, factor: Annotated[float, Range(1, 9)] = 2):
        """Multiply."""
        return n * factor


class Class:
    @classmethod
    def predict(cls, n: Count):
        return [cls.__name__, n]


class Static:
    @staticmethod
    async def predict(n: int):
        return n


class Callable:
    class predict:  # noqa: N801 - it is called like a function
        def __call__(self, n: "Count"):
            return n

    predict = predict()


class Decorated:
    @wrapped
    def predict(self, n: "Count", /, m: int = 2):
        return [n, m]


class Positional:
    def predict(self, a: int = 1, b: Path | None = None, /, *args: str, c: int = 3):
        return [a, b and b.read_text(), c]


class Injected(BaseModel):
    """Its `get_predict_args` says that there are none."""

    def get_metadata(self):
        return {}

    def warm(self):
        raise NotImplementedError

    def get_predict_args(self):
        raise NotImplementedError

    def predict(self, n: int):
        return n

    def get_train_args(self):
        return {"epochs": fields.Int(load_default=3)}

    def train(self, epochs: complex):
        return epochs


class KeywordsOnly:
    def predict(self, **kwargs: int):
        """Not the text of the operation: nothing is annotated."""
        return kwargs


@dataclass
class Point:
    x: float
    y: float = 0

    def __post_init__(self):
        if self.x < 0:
            raise ValueError("x is negative")


class Batched:
    max_batch_size = 4

    def predict(self, point: Point):
        raise AssertionError

    def predict_batch(self, calls):
        return [call["point"].x + call["point"].y for call in calls]


class Accepts:
    def predict(self, accept: Literal["application/json", "text/csv"]):
        return {"a": 1} if accept == "application/json" else "a\n1\n"


def scale(factor, n: int):
    return factor * n


Partial = SimpleNamespace(predict=functools.partial(scale, 3))

predict = Method().predict
