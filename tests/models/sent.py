"""Answers with what reached it, of the arguments that clients send in many ways."""

from pathlib import Path

from webargs import fields

from deepaas.model.v2.wrapper import UploadedFile

UPLOAD = {"type": "file", "location": "form"}
POINT = {"x": fields.Int(required=True)}


def get_predict_args():
    return {
        "threshold": fields.Float(load_default=0.5),
        "n": fields.Int(),
        "x": fields.Float(allow_nan=True),
        "price": fields.Decimal(allow_nan=True),
        "text": fields.Str(),
        "any": fields.Raw(),
        "sizes": fields.List(fields.Int()),
        "words": fields.List(fields.Str()),
        "points": fields.List(fields.Nested(POINT)),
        "pairs": fields.List(fields.Tuple((fields.Int(), fields.Str()))),
        "grid": fields.List(fields.List(fields.Int())),
        "delimited": fields.DelimitedList(fields.Int()),
        "nested": fields.Nested(POINT),
        "dict": fields.Dict(),
        "in query": fields.Int(location="query"),
        "größe": fields.Int(),
        "image": fields.Field(metadata=UPLOAD),
        "images": fields.List(fields.Field(metadata=UPLOAD), location="form"),
        "untyped": fields.Field(location="form"),
    }


def get_train_args():
    return get_predict_args()


def show(value):
    if isinstance(value, UploadedFile):
        content = Path(value.filename).read_bytes().decode("latin-1")
        return {**value._asdict(), "content": content}
    if isinstance(value, list):
        return [show(one) for one in value]
    if isinstance(value, dict | tuple | str):
        return value
    return repr(value)


def predict(**kwargs):
    return {name: show(value) for name, value in kwargs.items()}


def train(**kwargs):
    return predict(**kwargs)
