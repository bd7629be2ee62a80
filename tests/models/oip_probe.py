"""Stands in for the model `probe` of the captures, of Triton or of MLServer."""

import os

from webargs import fields


def get_metadata():
    return {"version": 1} if os.environ.get("PROBE") == "triton" else {}


def get_predict_args():
    file = {"type": "file", "location": "form"}
    if os.environ.get("PROBE") == "triton":
        return {"s": fields.List(fields.Str(), required=True)}
    return {
        "s": fields.List(fields.Str()),
        "s-str": fields.Str(),
        "b64": fields.Field(metadata=file),
        "file": fields.Field(metadata=file),
        "scalar": fields.Float(),
        "empty-shape": fields.Int(),
        "bool": fields.List(fields.Bool()),
        "u8": fields.List(fields.List(fields.Int())),
        "json": fields.Dict(),
        "fp16": fields.Float(),
        "n": fields.Float(allow_nan=True),
        "fail": fields.Bool(load_default=False),
    }


def predict(**kwargs):
    if kwargs.get("fail"):
        raise ValueError("told to fail")
    return {"upper": [text.upper() for text in kwargs.get("s", [])]}
