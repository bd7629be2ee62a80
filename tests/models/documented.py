"""Arguments and answers of every kind that the document must show."""

import datetime
import decimal

import marshmallow
from webargs import fields, validate


class ModelMeta(marshmallow.Schema):
    """Takes a name that the server has for itself."""

    inner = fields.Str(required=True, metadata={"required": True})


class Thing(fields.Field):
    """A kind of field of the author's own."""


schema = {
    "status": fields.Str(description="How it went"),
    "meta": fields.Nested(ModelMeta),
    "boxes": fields.List(fields.Nested({"x": fields.Int(), "y": fields.Float()})),
    "scores": fields.Dict(keys=fields.Str(), values=fields.Float()),
}


def get_predict_args():
    return {
        "plain": fields.Str(missing="a", description="Plain", enum=["a", "b"]),
        "password": fields.Str(load_only=True),
        "range": fields.Int(load_default=3, validate=validate.Range(1, 9)),
        "share": fields.Float(validate=validate.Range(0, 1, max_inclusive=False)),
        "since": fields.Date(
            missing=datetime.date(2026, 1, 1),
            validate=validate.Range(min=datetime.date(2020, 1, 1)),
        ),
        "price": fields.Decimal(missing=decimal.Decimal("1.5")),
        "nothing": fields.Int(missing=None, allow_none=True),
        "not a number": fields.Float(missing=float("nan"), allow_nan=True),
        "list": fields.List(fields.Int(), missing=[1, 2]),
        "delimited": fields.DelimitedList(fields.Str()),
        "nested": fields.Nested({"x": fields.Int(required=True)}),
        "dict": fields.Dict(missing={"a": 1}),
        "own": Thing(example="x", title="y"),
        "raw": fields.Raw(),
        "many": fields.List(fields.Raw(type="file"), location="form"),
        "file": fields.Field(type="file", location="form", description="A file"),
        "X-Header": fields.List(fields.Int(), location="headers"),
        "cookie": fields.Str(location="cookies"),
        "typed oddly": fields.Str(metadata={"type": "str", "description": 3}),
    }


def predict(**kwargs):
    return {}
