"""Has an argument of each kind that the page has a field for, named for its kind."""

from webargs import fields, validate

MANY = [f"choice {number}" for number in range(6)]
FILE = {"type": "file", "location": "form"}


def get_predict_args():
    return {
        "`Str`": fields.Str(),
        "`Str`, 200 characters at most": fields.Str(validate=validate.Length(max=200)),
        "`Str`, `widget` is `textarea`": fields.Str(metadata={"widget": "textarea"}),
        "`Str`, `widget` is `color`": fields.Str(metadata={"widget": "color"}),
        "`Str`, `load_only`": fields.Str(load_only=True),
        "`OneOf`, up to 4 choices": fields.Str(validate=validate.OneOf("ab")),
        "`OneOf`, more choices": fields.Str(validate=validate.OneOf(MANY)),
        "`Int`, `Float`": fields.Float(),
        "`Int`, `Float` between two limits": fields.Int(validate=validate.Range(0, 9)),
        "`Bool`": fields.Bool(),
        "`Bool` with a default": fields.Bool(load_default=True),
        "`Date`": fields.Date(),
        "`DateTime`": fields.DateTime(),
        "`Time`": fields.Time(),
        "`Email`": fields.Email(),
        "`Url`": fields.Url(),
        "`UUID`": fields.UUID(),
        "`List` of numbers or texts": fields.List(fields.Float()),
        "`List` of choices": fields.List(
            fields.Str(validate=validate.OneOf(("a", "b")))
        ),
        "`DelimitedList`": fields.DelimitedList(fields.Int()),
        "`List` of anything else": fields.List(fields.Dict()),
        "`Dict`": fields.Dict(),
        "`Nested` of simple fields": fields.Nested(
            {"x": fields.Int(), "y": fields.Str()}
        ),
        "`Nested` of others": fields.Nested({"x": fields.Dict()}),
        "`Raw`": fields.Raw(),
        "a file": fields.Field(metadata={**FILE, "examples": ["samples/one.txt"]}),
        "`List` of files": fields.List(
            fields.Field(metadata={"type": "file"}), metadata={"location": "form"}
        ),
    }


def predict(**kwargs):
    return sorted(kwargs)
