"""Arguments and answers that are one of a few values."""

import enum

from webargs import fields, validate


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"
    GREY = "grey"
    GRAY = "grey"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"
    PAIR = (1, 2)


schema = {
    "colour": fields.Enum(Colour),
    "twice": fields.Str(enum=["a", "a"]),
    "sizes": fields.List(fields.Enum(Size, by_value=True)),
}


def get_predict_args():
    return {
        "colour": fields.Enum(Colour, missing=Colour.RED, description="A colour"),
        "by_value": fields.Enum(Colour, by_value=True),
        "size": fields.Enum(Size, by_value=fields.Int),
        "mixed": fields.Enum(Mixed, by_value=True),
        "colours": fields.List(fields.Enum(Colour)),
        "some": fields.List(
            fields.Str(), validate=validate.ContainsOnly(["a", "b"]), missing=["a"]
        ),
        "twice": fields.Str(enum=["a", "a"]),
        "of none": fields.Str(enum=[]),
        "no list": fields.List(fields.Str(enum=3), enum="ab"),
        "own words": fields.Enum(Colour, metadata={"enum": ["RED"], "type": "string"}),
    }


def predict(**kwargs):
    return {"colour": kwargs["colour"], "sizes": []}
