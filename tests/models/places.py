"""Arguments whose values become text in every way that OpenAPI 3.1 knows."""

from webargs import fields


def get_predict_args():
    point = {"x": fields.Int(required=True)}
    kinds = {
        "ints": lambda **words: fields.List(fields.Int(), **words),
        "delimited": lambda **words: fields.DelimitedList(fields.Int(), **words),
        "spaced": lambda **words: fields.DelimitedList(
            fields.Int(), delimiter=" ", **words
        ),
        "odd": lambda **words: fields.DelimitedList(
            fields.Int(), delimiter=";", **words
        ),
        "rows": lambda **words: fields.List(fields.List(fields.Int()), **words),
        "point": lambda **words: fields.Nested(point, **words),
        "points": lambda **words: fields.List(fields.Nested(point), **words),
        "dict": lambda **words: fields.Dict(**words),
        "number": lambda **words: fields.Float(**words),
    }
    return {
        f"{location}-{name}": make(metadata={"location": location})
        for location in ("query", "headers", "cookies", "form")
        for name, make in kinds.items()
    }


def predict(**kwargs):
    return {name: repr(value) for name, value in kwargs.items()}
