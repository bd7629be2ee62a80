"""JSON that is decoded in steps is the same as JSON that is decoded at once."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepaas.tensors import long_json
from deepaas.tensors.datatypes import flatten

NUMBERS = st.recursive(
    st.lists(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False), min_size=1),
    lambda inner: st.lists(inner, min_size=1),
    max_leaves=8,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.text() | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.fixture(autouse=True, scope="module")
def short_steps():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(long_json, "STEP_BYTES", 7)
        pattern = long_json.make_token(5)
        patch.setattr(long_json, "_TOKEN", pattern)
        patch.setattr(long_json, "MIN_LIST_BYTES", 5)
        yield


def _flat(value):
    """Lists of numbers become flat: tensors are flattened in any case."""
    if isinstance(value, dict):
        return {key: _flat(one) for key, one in value.items()}
    if not isinstance(value, list):
        return value
    items = [_flat(one) for one in value]
    if len(orjson.dumps(value)) < 5:
        return items
    if all(_is_numeric(one) for one in items):
        return flatten(items, "")[0]
    return items


def _is_numeric(value):
    if isinstance(value, list):
        return bool(value) and all(_is_numeric(one) for one in value)
    return type(value) in (int, float)


@settings(max_examples=50, deadline=None, database=None)
@given(VALUES)
def test_any_value_is_the_same_but_for_nested_lists_of_numbers(value):
    text = orjson.dumps(value)

    assert _flat(long_json.decode_long_json(text)) == _flat(orjson.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        b"[1,2,3,4,5,]",
        b"[1 2,3,4,5]",
        b"[1,2,3,4,5",
        b"[1,2,3,4,5]]",
        b'{"a":[1],2,3,4,5]}',
        b"[1][2][3][4]",
        b"[1,,2,3,4]",
        b'"[1,2,3,4',
    ],
)
def test_text_that_is_not_json_is_refused(text):
    with pytest.raises(ValueError, match="line 1"):
        long_json.decode_long_json(text)


def test_brackets_in_texts_are_left_alone():
    value = {"a": "[1,2,3,4,5,6]", "b": '\\"[1,2,3,4,5', "c": [1, 2, 3, 4, 5, 6]}

    assert long_json.decode_long_json(orjson.dumps(value)) == value
