"""Lists of numbers load as marshmallow loads them, for any items."""

import math

import marshmallow
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from marshmallow import fields, validate

from deepaas.arguments.lists import NumberLists, choose_load

SETTINGS = {
    "float": lambda: fields.Float(),
    "int": lambda: fields.Int(),
    "with NaN": lambda: fields.Float(allow_nan=True),
    "strict": lambda: fields.Int(strict=True),
    "as a string": lambda: fields.Float(as_string=True),
    "own message": lambda: fields.Float(error_messages={"invalid": "No."}),
}

numbers = st.one_of(
    st.floats(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 2**53 + 1, -0.0, math.inf, math.nan]),
)
leaves = numbers | st.sampled_from([True, None, "1.5", "x", "NaN", "7", {}, b"3", []])


def nested(items, depth):
    """Lists of one depth, now and then with something else in place of a list."""
    for _ in range(depth):
        items = st.lists(items, max_size=4)
    return items


values = st.integers(1, 3).flatmap(
    lambda depth: nested(numbers, depth) | nested(leaves, depth) | leaves
)


def list_of(leaf, depth):
    field = leaf
    for _ in range(depth):
        field = fields.List(field)
    return field


def outcome(load, value):
    """Return the loaded value, or the error that it raises, in comparable form."""
    try:
        loaded = load(value, "name", {})
    except marshmallow.ValidationError as error:
        return "invalid", error.messages, comparable(error.valid_data)
    return "loaded", comparable(loaded)


def comparable(value):
    if isinstance(value, list):
        return [comparable(one) for one in value]
    return type(value), str(value)  # tells 1 from 1.0, 0.0 from -0.0, and knows NaN


@pytest.mark.parametrize("kind", SETTINGS)
@given(value=values, depth=st.integers(1, 3))
@example(value=[1.0, math.nan], depth=1)
@example(value=[math.inf, -math.inf], depth=1)
@example(value=[1, 10**400], depth=1)
@example(value=[[1, 2.5], []], depth=2)
@example(value=[[1.5], None, (2.5,)], depth=2)
@example(value=(1.5, 2.5), depth=1)
def test_values_and_errors_are_those_of_marshmallow(kind, value, depth):
    field = list_of(SETTINGS[kind](), depth)
    load = choose_load(field)
    assert isinstance(load, NumberLists)
    assert outcome(load, value) == outcome(field.deserialize, value)


class Own(fields.Float):
    pass


class OwnList(fields.List):
    pass


@pytest.mark.parametrize(
    "field",
    [
        fields.Float(),
        fields.List(fields.Str()),
        fields.List(Own()),
        OwnList(fields.Float()),
        fields.List(OwnList(fields.Float())),
        fields.List(fields.Float(validate=validate.Range(0, 1))),
        fields.List(fields.Float(allow_none=True)),
        fields.List(fields.Float(load_default=None)),
        fields.List(fields.List(fields.Float(), validate=validate.Length(1))),
        fields.List(fields.List(fields.Float(), allow_none=True)),
        fields.List(fields.Decimal()),
        fields.Dict(values=fields.List(fields.Float())),
    ],
)
def test_fields_that_do_more_are_left_to_marshmallow(field):
    assert choose_load(field) == field.deserialize


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"validate": validate.Length(min=2)}, [1.0]),
        ({"validate": validate.Length(min=2)}, [1.0, 2]),
        ({"validate": [validate.Length(2), validate.ContainsOnly([1])]}, [2]),
        ({"required": True}, marshmallow.missing),
        ({"load_default": [1]}, marshmallow.missing),
        ({"load_default": list}, marshmallow.missing),
        ({"load_default": None}, None),
        ({"allow_none": True}, None),
        ({}, None),
        ({}, marshmallow.missing),
    ],
)
def test_the_outermost_list_may_have_options(options, value):
    field = fields.List(fields.Float(), **options)
    load = choose_load(field)
    assert isinstance(load, NumberLists)
    assert outcome(load, value) == outcome(field.deserialize, value)


def test_numbers_of_the_right_type_are_not_copied():
    value = [[0.5, 1.5], [2.5]]
    assert choose_load(list_of(fields.Float(), 2))(value, "n", {}) is value
