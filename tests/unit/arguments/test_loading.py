"""From values by the callers' names to keyword arguments."""

import marshmallow
import pytest
from marshmallow import fields, validate

from deepaas.arguments import Arguments
from deepaas.errors import InvalidArguments, NotAcceptable


class Settings(marshmallow.Schema):
    rate = fields.Float(required=True)
    steps = fields.Int(load_default=10)

    @marshmallow.post_load
    def double(self, values, **unused):
        return {**values, "rate": values["rate"] * 2}


@pytest.mark.parametrize("definition", [Settings, Settings()])
def test_a_schema_of_the_author_does_all_of_its_work(definition):
    assert Arguments(definition).load({"rate": "0.5"}) == {"rate": 1.0, "steps": 10}


def test_fields_by_the_names_of_callers_and_of_the_model():
    arguments = Arguments(
        {
            "n": fields.Int(required=True),
            "size": fields.Int(data_key="size(px)", load_default=None),
            "left_out": fields.Str(),
            "func": fields.Str(),
        }
    )
    values = {"n": "7", "func": "f", "unknown": 1}
    assert arguments.load(values) == {"n": 7, "size": None, "func": "f"}
    assert arguments.load({"n": 1, "size(px)": "3"})["size"] == 3
    with pytest.raises(InvalidArguments) as refused:
        arguments.load({"size(px)": "x"})
    assert refused.value.status == 422
    assert refused.value.messages == {
        "n": ["Missing data for required field."],
        "size(px)": ["Not a valid integer."],
    }


def test_the_authors_fields_are_not_modified():
    field = fields.Int()
    for _ in range(2):
        arguments = Arguments({"n": field, "again": field})
        assert arguments.load({"n": 1, "again": 2}) == {"n": 1, "again": 2}
    assert field.parent is None


class Broken(fields.Field):
    def _deserialize(self, value, *args, **kwargs):
        raise RuntimeError(f"cannot cope with {value}")


def test_a_field_that_raises_is_named(caplog):
    arguments = Arguments({"n": fields.Int(), "broken": Broken()})
    with pytest.raises(InvalidArguments) as refused:
        arguments.load({"n": 1, "broken": "secret"})
    message = "RuntimeError: cannot cope with secret"
    assert refused.value.messages == {"broken": [message]}
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("definition", "error"),
    [
        ([], TypeError),
        ("n", TypeError),
        (None, TypeError),
        ({"n": int}, TypeError),
        ({7: fields.Int()}, TypeError),
        ({"Meta": fields.Int()}, ValueError),
        ({"n": fields.Int(metadata={"location": "body"})}, ValueError),
        ({"accept": fields.Str(validate=validate.OneOf(["png"]))}, ValueError),
    ],
    ids=repr,
)
def test_invalid_definitions(definition, error):
    with pytest.raises(error):
        Arguments(definition)


def test_where_a_value_is_looked_for():
    arguments = Arguments(
        {
            "anywhere": fields.Int(),
            "inquery": fields.Int(metadata={"location": "querystring"}),
            "injson": fields.Int(metadata={"location": "json"}),
            "cookie": fields.Int(metadata={"location": "cookies"}),
            "file": fields.Field(metadata={"type": "file"}),
        }
    )
    places = {item.name: item.locations for item in arguments.items}
    assert places == {
        "anywhere": ("query", "form", "json"),
        "inquery": ("query",),
        # beside a file, JSON comes in the form
        "injson": ("json", "form"),
        "cookie": ("cookies",),
        "file": ("form",),
    }
    assert arguments.takes_cookies
    without_file = Arguments({"n": fields.Int(metadata={"location": "json"})})
    assert without_file.items[0].locations == ("json",)
    assert not without_file.takes_cookies


def test_lists_have_a_second_name():
    arguments = Arguments({"tags": fields.List(fields.Str()), "n": fields.Int()})
    assert arguments.by_name.keys() == {"tags", "tags[]", "n"}
    assert arguments.by_name["tags[]"] is arguments.by_name["tags"]


def test_the_media_type_is_an_argument():
    choices = validate.OneOf(["image/png", "text/csv"])
    arguments = Arguments({"accept": fields.Str(validate=choices)})
    values = {}
    arguments.negotiate(values, "text/*")
    loaded = arguments.load(values)
    assert loaded == {"accept": "text/csv"}
    assert arguments.accepted(loaded) == "text/csv"
    values = {"accept": "image/png"}
    arguments.negotiate(values, "text/csv")  # an explicit value wins
    assert arguments.load(values) == {"accept": "image/png"}
    with pytest.raises(NotAcceptable):
        arguments.negotiate({}, "video/mp4")
    none = Arguments({"n": fields.Int()})
    none.negotiate({}, "video/mp4")
    assert none.accepted({"n": 1}) is None
