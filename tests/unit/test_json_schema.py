"""Schemas of OpenAPI 3.1, from fields of every class and metadata of any kind."""

import datetime
import decimal

import jsonschema
import marshmallow
import pytest
from marshmallow import fields, validate

from deepaas.documents.converter import Converter
from deepaas.documents.json_schema import modernise


class Point(marshmallow.Schema):
    x = fields.Int(required=True)
    y = fields.Float(validate=validate.Range(0, min_inclusive=False), allow_none=True)


REFERENCE = {"$ref": "#/components/schemas/Point"}
NULL = {"type": "null"}


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        (fields.Int(), {"type": "integer"}),
        (
            fields.Int(metadata={"format": "int64"}),
            {"type": "integer", "format": "int64"},
        ),
        (fields.Url(), {"type": "string", "format": "uri"}),
        (fields.IPv4(), {"type": "string", "format": "ipv4"}),
        (fields.IPv6(), {"type": "string", "format": "ipv6"}),
        (fields.IPInterface(), {"type": "string"}),
        (fields.Date(), {"type": "string", "format": "date"}),
        (fields.Time(), {"type": "string", "format": "time"}),
        (fields.DateTime(), {"type": "string", "format": "date-time"}),
        (
            fields.NaiveDateTime(format="iso"),
            {"type": "string", "format": "date-time"},
        ),
        (fields.DateTime(format="%d.%m.%Y"), {"type": "string"}),
        (fields.Date(format="%d.%m.%Y"), {"type": "string"}),
        (fields.Time(format="%H h"), {"type": "string"}),
        (fields.DateTime(format="timestamp"), {"type": "number"}),
        (
            fields.AwareDateTime(),
            {"type": "string", "format": "date-time", "x-deepaas-zone": True},
        ),
        (
            fields.AwareDateTime(default_timezone=datetime.timezone.utc),
            {"type": "string", "format": "date-time"},
        ),
        (fields.TimeDelta(), {"type": "integer"}),
        (fields.Constant(3), {"default": 3, "const": 3}),
        (fields.Raw(), {}),
        (
            fields.Tuple((fields.Int(), fields.Str())),
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "minItems": 2,
                "maxItems": 2,
            },
        ),
        (
            fields.Dict(values=fields.Int(allow_none=True)),
            {
                "type": "object",
                "additionalProperties": {"type": ["integer", "null"]},
            },
        ),
        (fields.Nested(Point), REFERENCE),
        (fields.Nested(Point, allow_none=True), {"anyOf": [REFERENCE, NULL]}),
        (
            fields.Nested(Point, metadata={"description": "d"}, allow_none=True),
            {"anyOf": [REFERENCE, NULL], "description": "d"},
        ),
        (fields.Pluck(Point, "x"), {"type": "integer"}),
        (
            fields.Pluck(Point, "x", many=True),
            {"type": "array", "items": {"type": "integer"}},
        ),
        (
            fields.Str(validate=validate.OneOf(["a", "b"]), load_default=None),
            {"type": ["string", "null"], "enum": ["a", "b", None], "default": None},
        ),
        (
            fields.Int(validate=[validate.Range(0, 9), validate.Range(5, 20)]),
            {"type": "integer", "minimum": 5, "maximum": 9},
        ),
        (
            fields.Float(
                validate=[
                    validate.Range(0, 1, min_inclusive=False, max_inclusive=False),
                    validate.Range(0, 2),
                ]
            ),
            {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        ),
        (
            fields.Decimal(validate=validate.Range(decimal.Decimal("0.5"))),
            {"type": "number", "minimum": 0.5},
        ),
        (
            fields.Date(validate=validate.Range(datetime.date(2026, 1, 1))),
            {"type": "string", "format": "date"},
        ),
        (
            fields.List(fields.Int(), validate=validate.Length(1, 3)),
            {
                "type": "array",
                "items": {"type": "integer"},
                "minItems": 1,
                "maxItems": 3,
            },
        ),
        (
            fields.Str(validate=validate.Regexp("a+")),
            {"type": "string", "pattern": "a+"},
        ),
        (fields.Str(validate=validate.Regexp("(?P<a>b)")), {"type": "string"}),
        (fields.Int(load_default="7"), {"type": "integer", "default": 7}),
        (fields.List(fields.Int(), load_default=lambda: [1]), {"type": "array"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_fields(field, schema):
    found = modernise(Converter(version=3).field(field))
    if isinstance(field, fields.List) and "items" not in schema:
        found.pop("items")
    assert found == schema
    jsonschema.Draft202012Validator.check_schema(found)


def test_definitions():
    converter = Converter(version=3)
    converter.field(fields.Nested(Point))
    assert modernise(converter.definitions()["Point"]) == {
        "type": "object",
        "properties": {
            "x": {"type": "integer"},
            "y": {"type": ["number", "null"], "exclusiveMinimum": 0},
        },
        "required": ["x"],
    }


WRONG = [None, "x", "int", 3, -1, 1.5, True, [], ["x"], [3], {}, {"x": 3}, [[]], "("]


@pytest.mark.parametrize(
    "word",
    [
        *("type", "format", "title", "description", "default", "enum", "pattern"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxItems", "uniqueItems", "required", "properties", "items"),
        *("additionalProperties", "allOf", "readOnly", "example", "examples", "xml"),
        *("nullable", "$ref", "prefixItems", "const", "x-anything", "externalDocs"),
    ],
)
def test_nothing_that_metadata_say_makes_it_invalid(word):
    for value in WRONG:
        for schema in ({word: value}, {"type": "string", word: value}):
            for around in (schema, {"type": "array", "items": schema}):
                found = modernise(around)
                jsonschema.Draft202012Validator.check_schema(found)


@pytest.mark.parametrize("default", [None, "1", [], {}, True, 1.5, float("nan")])
def test_a_default_is_of_the_type(default):
    assert modernise({"type": "integer", "default": default}) == {"type": "integer"}
