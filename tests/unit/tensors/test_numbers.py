"""Numbers that cross to a worker as bytes are those that cross as a list."""

import json
import math
import pickle
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import ValidationError, fields, validate

from deepaas.arguments import Arguments
from deepaas.arguments.lists import unpack
from deepaas.errors import BadBody, InvalidArguments
from deepaas.tensors.datatypes import DATATYPES
from deepaas.tensors.inputs import arrange, read_elements
from deepaas.tensors.numbers import Numbers, pack_list
from deepaas.tensors.request import Input, parse, read
from deepaas.tensors.specs import TensorSpec

FLOATS = TensorSpec("FP64", 1)
INTEGERS = TensorSpec("INT64", 1)
EXTREMES = {
    "INT8": (-128, 127),
    "INT64": (-(2**63), 2**63 - 1),
    "UINT64": (0, 2**64 - 1),
}
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=1)


def same(a, b):
    """Tell whether values and types are equal, with NaN equal to itself."""
    return repr(a) == repr(b)


@pytest.mark.parametrize("name", EXTREMES)
def test_the_extremes_of_integers_cross(name):
    numbers = pack_list(DATATYPES[name].code, EXTREMES[name], (2,))

    assert pickle.loads(pickle.dumps(numbers)) == list(EXTREMES[name])
    low, high = EXTREMES[name]
    assert pack_list(DATATYPES[name].code, [low - 1], (1,)) is None
    assert pack_list(DATATYPES[name].code, [high + 1], (1,)) is None


@pytest.mark.parametrize("shape", [(0,), (6,), (2, 3), (0, 3), (3, 0), (1, 2, 3)])
def test_nested_lists_cross(shape):
    count = math.prod(shape)
    numbers = pack_list("d", [i / 3 for i in range(count)], shape)

    crossed = pickle.loads(pickle.dumps(numbers))

    assert crossed == numbers.to_list()
    assert crossed == [pickle.loads(pickle.dumps(row)) for row in numbers.rows()] or (
        len(shape) == 1
    )
    assert len(numbers) == count


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_seen(value):
    data = struct.pack("<3f", 1, value, 2)

    assert not Numbers("f", data, (3,)).is_finite()
    assert Numbers("f", struct.pack("<3f", 1, 0, 3.4e38), (3,)).is_finite()


def elements(datatype, data, spec, plain):
    shape = (len(data),)
    given = Input("x", DATATYPES[datatype], shape, {}, data, plain=plain)
    try:
        read = read_elements(given, spec)
        return arrange(given, spec, read).values
    except BadBody as error:
        return str(error)


@given(
    st.sampled_from(["FP16", "FP32", "FP64", "INT8", "INT64", "UINT64"]),
    st.sampled_from([FLOATS, INTEGERS]),
    st.lists(st.integers(-300, 300) | st.floats(allow_nan=False, allow_infinity=False))
    | st.lists(st.integers())
    | st.lists(st.none() | st.text(max_size=1) | st.floats(-2, 2)),
)
def test_elements_of_json_are_those_of_a_list(datatype, spec, data):
    """Except that integers are floats already where the argument takes floats."""
    quick, slow = (elements(datatype, data, spec, plain) for plain in (True, False))
    if isinstance(slow, str):
        assert quick == slow
        return
    (quick,), (slow,) = quick, slow
    if isinstance(quick, Numbers) and quick.code == "d":
        slow = list(map(float, slow))
    assert same(unpack(quick), slow)


FIELDS = [
    fields.List(fields.Float()),
    fields.List(fields.Float(allow_nan=True)),
    fields.List(fields.Integer()),
    fields.List(fields.Integer(strict=True)),
    fields.List(fields.Number()),
    fields.List(fields.Float(validate=validate.Range(0, 1))),
    fields.List(fields.Float(), validate=validate.Length(max=2)),
    fields.List(fields.Float(allow_none=True)),
]


def loaded(field, value):
    try:
        return unpack(Arguments({"x": field}).load({"x": value})["x"])
    except (InvalidArguments, ValidationError) as error:
        return error.messages


@pytest.mark.parametrize("field", FIELDS, ids=range(len(FIELDS)))
@pytest.mark.parametrize(
    ("code", "values"),
    [
        ("f", [0.5, -1.5, 2.0]),
        ("f", [0.5, math.nan]),
        ("d", [math.inf, 1.0]),
        ("d", [1e308, 1e308]),
        ("d", []),
        ("q", [-(2**63), 2**63 - 1]),
        ("Q", [2**64 - 1, 1, 0]),
    ],
)
def test_a_field_loads_them_as_it_loads_a_list(field, code, values):
    data = struct.pack(f"={len(values)}{code}", *values)
    numbers = Numbers(code, data, (len(values),))

    assert same(loaded(field, numbers), loaded(field, numbers.to_list()))


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        ("[1, 2.5]", True),
        ("[1, true]", False),
        ("[false]", False),
        ("[" + "0.5, " * 300 + "true]", False),
    ],
)
def test_truth_values_are_seen(data, plain):
    head = '{"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": '

    (found,) = parse(f"{head}{data}}}]}}".encode()).inputs

    assert found.plain is plain


def test_text_with_many_letters_is_read():
    text = json.dumps({"id": "rl" * 1000, "inputs": []}).encode()

    assert parse(text).id == "rl" * 1000
    assert read(json.loads(text)).id == "rl" * 1000
