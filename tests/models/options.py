"""Shows its arguments: names that a command could clash with, and every kind."""

import enum

from marshmallow import fields as marshmallow_fields
from webargs import fields, validate


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def get_predict_args():
    return {
        "n": fields.Int(required=True, description="How many, 100% whole"),
        "l": fields.Str(),
        "debug": fields.Str(),
        "help": fields.Str(),
        "version": fields.Str(),
        "config-file": fields.Str(),
        "demo-image": fields.Str(missing="none.png"),
        "size(px), [x]": fields.Int(),
        "list": fields.List(fields.Int()),
        "delimited": fields.DelimitedList(fields.Float()),
        "dict": fields.Dict(),
        "nested": fields.Nested({"x": fields.Int(required=True)}),
        "bool": fields.Bool(missing=False),
        "when": fields.DateTime(),
        "range": fields.Float(
            validate=validate.Range(0, 1, min_inclusive=False), missing=0.5
        ),
        "choice": fields.Str(validate=validate.OneOf(["a", "b"]), missing="a"),
        "enum": marshmallow_fields.Enum(Colour),
        "strict": fields.Int(strict=True),
        "password": fields.Str(load_only=True, missing="secret"),
    }


def predict(**kwargs):
    return {name: f"{type(value).__name__} {value}" for name, value in kwargs.items()}
