"""Shows what reaches a model, of every field and from every location."""

from webargs import fields, validate


def both_styles():
    yield "old", {"missing": "foo", "enum": ["foo", "bar"], "description": "Old style"}
    yield "new", {"load_default": "foo", "metadata": {"description": "New style"}}


def get_predict_args():
    return {
        **{f"{style} style": fields.Str(**words) for style, words in both_styles()},
        "integer": fields.Int(validate=validate.Range(min=0, max=10)),
        "float": fields.Float(),
        "decimal": fields.Decimal(),
        "bool": fields.Bool(),
        "date": fields.Date(),
        "datetime": fields.DateTime(),
        "uuid": fields.UUID(),
        "url": fields.Url(),
        "email": fields.Email(),
        "choice": fields.Str(validate=validate.OneOf(("a", "b"))),
        "list": fields.List(fields.Int()),
        "delimited": fields.DelimitedList(fields.Int()),
        "dict": fields.Dict(),
        "nested": fields.Nested({"x": fields.Int(required=True)}),
        "password": fields.Str(load_only=True),
        "none": fields.Str(missing=None),
        "demo-image": fields.Str(),
        "size(px)": fields.Int(),
        "a,b": fields.Int(),
        "func": fields.Str(),
        "self": fields.Str(),
        "renamed": fields.Str(data_key="new-name"),
        "header": fields.Int(data_key="X-Number", location="headers"),
        "cookie": fields.Str(location="cookies"),
        "in_query": fields.Int(location="querystring"),
        "in_form": fields.Int(location="form"),
    }


def predict(**kwargs):
    return {name: f"{type(value).__name__} {value}" for name, value in kwargs.items()}
