"""The choice of a media type by RFC 9110, section 12.5.1."""

import pytest
from marshmallow import fields, validate

from deepaas.errors import InvalidArguments, NotAcceptable
from deepaas.negotiation import Negotiation

PNG, JSON, CSV = "image/png", "application/json", "text/csv"


def negotiation(choices=(PNG, JSON, CSV), **options):
    return Negotiation(fields.Str(validate=validate.OneOf(choices), **options))


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", PNG),
        (" ", PNG),
        ("*/*", PNG),
        (JSON, JSON),
        ("APPLICATION/JSON", JSON),
        ("application/*", JSON),
        ("text/csv;q=0.5, application/json;q=0.4", CSV),
        ("text/*;q=0.1, */*;q=0.2", PNG),
        ("image/png;q=0, */*", JSON),
        ("application/json;charset=utf-8", JSON),
        ("nonsense, text/csv", CSV),
    ],
)
def test_a_header_chooses(header, chosen):
    assert negotiation().choose(header) == chosen


@pytest.mark.parametrize(
    "header", ["video/mp4", "image/png;q=0", "nonsense", ",", "image/png;q=0, */*;q=0"]
)
def test_a_header_that_no_choice_fits(header):
    with pytest.raises(NotAcceptable, match=f"{PNG}, {JSON}, {CSV}"):
        negotiation().choose(header)


def test_the_default_wins_among_equals():
    with_default = negotiation(load_default=JSON)
    assert with_default.choose("*/*") == JSON
    assert with_default.choose("image/png, application/json") == JSON
    assert with_default.choose("image/png, application/json;q=0.9") == PNG
    assert with_default.choose("") is None  # the field has it
    assert negotiation(load_default="*/*").choose("") == PNG


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("image/*", JSON),
        ("image/gif;q=0.1, video/mp4;q=0.2, */*", "video/mp4"),
        ("image/gif;q=0", JSON),
    ],
)
def test_any_type_is_allowed_without_choices(header, chosen):
    assert Negotiation(fields.Str()).choose(header) == chosen


def test_choices_may_be_an_enum_in_the_metadata():
    listed = Negotiation(fields.Str(metadata={"enum": ["*/*", PNG]}))
    assert listed.choices == [PNG]
    listed.check(PNG)
    for other in (JSON, "*/*", "", 7):
        with pytest.raises(InvalidArguments) as refused:
            listed.check(other)
        assert refused.value.messages == {"accept": ["Must be one of: image/png."]}


def test_a_value_that_is_not_a_media_type():
    free = Negotiation(fields.Str(data_key="format"))
    free.check("a/b; c=d")
    for other in ("png", "a/b\r\nX: y", "", None):
        with pytest.raises(InvalidArguments) as refused:
            free.check(other)
        assert refused.value.messages == {"format": ["Not a media type."]}


@pytest.mark.parametrize("choice", ["png", "a/b/c d", "", "é/é"])
def test_a_choice_that_is_not_a_media_type(choice):
    with pytest.raises(ValueError, match="is not a media type"):
        negotiation([PNG, choice])


def test_a_model_never_receives_a_range():
    assert negotiation().settle("*/*") == PNG
    assert negotiation().settle(CSV) == CSV
    assert Negotiation(fields.Str()).settle("*/*") == JSON
