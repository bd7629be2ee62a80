"""Elements of tensors, rows of batches and outputs between processes."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepaas.errors import BadBody, DeepaasError
from deepaas.tensors.datatypes import (
    BYTES,
    DATATYPES,
    check,
    decode,
    encode,
    flatten,
    join,
)
from deepaas.tensors.outputs import Output, Outputs, pack, stack, text_output, unpack

CODES = {"FP16": "e", "FP32": "f", "FP64": "d", "INT8": "b", "UINT64": "Q"}


@pytest.mark.parametrize("name", CODES)
def test_numbers_are_little_endian(name):
    datatype = DATATYPES[name]
    data = struct.pack(f"<3{CODES[name]}", 0, 1, 5)

    assert decode(datatype, data, "x") == [0, 1, 5]
    assert encode(datatype, [0, 1, 5]) == data


@given(st.lists(st.binary()))
def test_bytes_come_back(elements):
    assert decode(BYTES, join(elements), "x") == elements


@given(st.binary())
def test_any_bytes_are_read_or_refused(data):
    for datatype in DATATYPES.values():
        with contextlib.suppress(BadBody):
            decode(datatype, data, "x")


def test_deep_lists_are_refused():
    data = [1]
    for _ in range(100):
        data = [data, 1]

    with pytest.raises(BadBody, match="levels"):
        flatten(data, "x")


@pytest.mark.parametrize("name", ["INT8", "UINT8", "INT64", "UINT64"])
def test_the_limits_of_integers_are_theirs(name):
    datatype = DATATYPES[name]
    low, high = datatype.limits

    assert check(datatype, [low, high], {int}, "x") == [low, high]
    for wrong in (low - 1, high + 1):
        with pytest.raises(BadBody, match="cannot hold"):
            check(datatype, [0, wrong], {int}, "x")


def _number(name, *values, shape=None):
    data = encode(DATATYPES["INT64"], values)
    return Output(name, DATATYPES["INT64"], shape or (len(values),), data)


def test_outputs_cross_processes_as_they_are():
    outputs = Outputs(
        [_number("a", 1, 2), text_output("b", [b"x", b""], "str")], frozenset({"c"})
    )

    back = unpack(pack(outputs))

    assert back.empty == {"c"}
    assert [(o.name, o.shape, bytes(o.data)) for o in back.items] == [
        (o.name, o.shape, o.data) for o in outputs.items
    ]


def test_rows_of_one_shape_are_stacked():
    stacked = stack([Outputs([_number("a", 1, 2)]), Outputs([_number("a", 3, 4)])])

    (output,) = stacked.items
    assert output.shape == (2, 2)
    assert decode(output.datatype, output.data, "a") == [1, 2, 3, 4]


def test_rows_of_several_shapes_become_json():
    stacked = stack([Outputs([_number("a", 1, 2)]), Outputs([_number("a", 3)])])

    (output,) = stacked.items
    assert (output.shape, output.datatype) == ((2, 1), BYTES)
    assert decode(BYTES, output.data, "a") == [b"[1,2]", b"3"]


def test_rows_with_other_names_are_an_error():
    with pytest.raises(DeepaasError, match="row 1 are not those of row 0: b and a"):
        stack([Outputs([_number("a", 1)]), Outputs([_number("b", 1)])])
