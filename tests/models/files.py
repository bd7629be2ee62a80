"""Describes every file it gets: three of different kinds, and a list."""

from pathlib import Path

from marshmallow import fields

UPLOAD = {"type": "file", "location": "form"}


class Volume(fields.Field):
    """A kind of file of the author's own."""


def get_predict_args():
    return {
        "image": fields.Field(metadata=UPLOAD),
        "table": fields.Raw(metadata=UPLOAD),
        "volume": Volume(metadata=UPLOAD),
        "untyped": fields.Field(location="form"),
        "many": fields.List(fields.Field(metadata={"type": "file"}), location="form"),
    }


def describe(file):
    if isinstance(file, list):
        return [describe(one) for one in file]
    content = Path(file.filename).read_text()
    return {**file._asdict(), "filename": Path(file.filename).name, "content": content}


def predict(**kwargs):
    return {name: describe(file) for name, file in kwargs.items()}
