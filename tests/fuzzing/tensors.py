"""Bodies of the Open Inference Protocol, right and wrong."""

import base64
import json
import struct

from hypothesis import strategies as st

from tests.models import fuzzed

NAMES = [
    *(field.data_key or name for name, field in fuzzed.get_predict_args().items()),
    "unknown",
]
CODES = {
    **{"UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b"},
    **{"INT16": "h", "INT32": "i", "INT64": "q", "FP16": "e", "FP32": "f"},
    **{"FP64": "d", "BOOL": "?"},
}
DATATYPES = [*CODES, "BYTES", "BF16"]
SIZES = st.integers(0, 3) | st.sampled_from([2**15, 2**31, 2**63, -1, 1.5, True, None])
SHAPES = st.lists(st.integers(0, 3), max_size=3) | st.lists(SIZES, max_size=40)
TEXTS = st.text(max_size=8) | st.sampled_from(["\ud800", "{}", "[1]", "AP8=", "1"])
NUMBERS = (
    st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.sampled_from([None, 2**64, 1e300, True])
)


@st.composite
def tensor_bodies(draw):
    """Return JSON, and the bytes that follow it."""
    names = draw(st.lists(st.sampled_from(NAMES), max_size=4))
    tails, inputs = [], []
    for name in names:
        one, tail = draw(tensors(name))
        inputs.append(one)
        tails.append(tail)
    request = {
        "inputs": inputs,
        "parameters": draw(
            st.dictionaries(
                st.sampled_from([*NAMES, "binary_data_output", "sequence_id", "x"]),
                NUMBERS | TEXTS,
                max_size=3,
            )
        ),
    }
    if draw(st.booleans()):
        wanted = st.fixed_dictionaries(
            {"name": st.sampled_from(["predictions", *NAMES])},
            optional={"parameters": st.just({"binary_data": True})},
        )
        request["outputs"] = draw(st.lists(wanted, max_size=3))
    return json.dumps(request).encode(), b"".join(tails)


@st.composite
def tensors(draw, name):
    datatype = draw(st.sampled_from(DATATYPES))
    one = {"name": name, "datatype": datatype, "shape": draw(SHAPES), "parameters": {}}
    count = 1
    for length in one["shape"]:
        count *= length if type(length) is int and 0 <= length < 100 else 1
    count = min(count, 100)
    if draw(st.booleans()):
        content = st.sampled_from(["str", "base64", "json", "np", "x", 7])
        one["parameters"]["content_type"] = draw(content)
    if draw(st.booleans()):
        one["parameters"]["filename"] = draw(TEXTS)
    if draw(st.booleans()):
        values = TEXTS if datatype == "BYTES" else NUMBERS
        data = draw(st.lists(values, min_size=count, max_size=count))
        one["data"] = draw(st.sampled_from([data, [data], [[one] for one in data], 7]))
        return one, b""
    tail = _bytes(draw, datatype, count)
    off = draw(st.sampled_from([0] * 8 + [-1, 1, 10**9]))
    one["parameters"]["binary_data_size"] = len(tail) + off
    return one, tail


def _bytes(draw, datatype, count):
    if datatype == "BYTES":
        texts = draw(
            st.lists(st.binary(max_size=8), min_size=count, max_size=count)
            | st.just([base64.b64encode(b"abc")] * count)
        )
        return b"".join(struct.pack("<I", len(one)) + one for one in texts)
    size = 2 if datatype == "BF16" else struct.calcsize("<" + CODES[datatype])
    return draw(st.binary(min_size=count * size, max_size=count * size))
