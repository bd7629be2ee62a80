"""Shows values that come in headers."""

from webargs import fields


def header(field, name, *args):
    return field(*args, data_key=name, location="headers")


def get_predict_args():
    return {
        "integer": header(fields.Int, "X-Integer"),
        "float": header(fields.Float, "X-Float"),
        "bool": header(fields.Bool, "X-Bool"),
        "when": header(fields.DateTime, "X-When"),
        "uuid": header(fields.UUID, "X-Uuid"),
        "list": header(fields.List, "X-List", fields.Int()),
        "delimited": header(fields.DelimitedList, "X-Delimited", fields.Int()),
        "object": header(fields.Dict, "X-Object"),
        "text": header(fields.Str, "X-Text"),
    }


def predict(**kwargs):
    return {name: f"{type(value).__name__} {value}" for name, value in kwargs.items()}
