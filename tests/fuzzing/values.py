"""Names and values of arguments: what fits a field, and what does not."""

import json

from hypothesis import strategies as st
from webargs import fields

from tests.models import fuzzed

TEXTS = st.one_of(st.text(max_size=20), st.characters(exclude_categories=()))
ODD = st.sampled_from(
    [
        *("", " ", "0", "-1", "1.5", "1e400", "-0.0", "NaN", "sNaN", "inf", "0x10"),
        *(
            "9" * 19,
            "9" * 5000,
            "1e-9999999999",
            "1_0",
            "\u0661",
            "true",
            "null",
            "\0",
            "\t",
        ),
        *("{}", "[]", '{"x": 1}', '{"x": {"x": []}}', '"text"', "[" * 900, "{", "a,b"),
        *("2026-01-02T03:04:05Z", "0001-01-01T00:00:00+23:59", "24:00", "2026-02-30"),
        *("a@b.example", "http://a.example/?q=#x", "http://[", "::1/129", "red", "2"),
        *("\ud800", "\udcff", "é", "e\u0301", "\u202e", "💩", "x" * 3000, "a\r\nb: c"),
        *("../../etc/passwd", "*/*", "image/png", "a/b", "a/b\r\nX-Y: z", "%00%zz"),
        *("application/json", "text/csv", "text/event-stream", "text/plain"),
    ]
)

NUMBERS = st.one_of(st.integers(), st.floats())
FITTING = {
    fields.Int: st.integers().map(str),
    fields.Float: st.floats().map(str),
    fields.Decimal: st.decimals().map(str),
    fields.Bool: st.sampled_from(["true", "no", "1", "off"]),
    fields.Date: st.dates().map(str),
    fields.Time: st.times().map(str),
    fields.DateTime: st.datetimes(timezones=st.none() | st.timezones()).map(
        lambda moment: moment.isoformat()
    ),
    fields.TimeDelta: st.integers().map(str),
    fields.UUID: st.uuids().map(str),
    fields.IP: st.ip_addresses().map(str),
    fields.List: st.integers(0, 9).map(str),
    fields.DelimitedList: st.lists(st.integers(), max_size=3).map(
        lambda values: ",".join(map(str, values))
    ),
    fields.Dict: st.dictionaries(st.text(max_size=3), NUMBERS, max_size=3).map(
        json.dumps
    ),
    fields.Nested: st.sampled_from(
        ['{"x": 1}', '{"x": 1, "more": [{"x": 2}], "street-name": "s"}']
    ),
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | ODD,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["x", "more", "1"]) | TEXTS, inner, max_size=4
        )
    ),
    max_leaves=6,
)


def _fitting(field):
    classes = (FITTING.get(one) for one in type(field).__mro__)
    return next((found for found in classes if found is not None), TEXTS)


ARGUMENTS = {
    field.data_key or name: _fitting(field)
    for name, field in fuzzed.get_predict_args().items()
}
"""Names that callers use, and texts that fit."""

FILES = ("file", "volume", "files", "files[]", "untyped")
PLACED = [
    (field.data_key or name, field.metadata["location"])
    for name, field in fuzzed.get_predict_args().items()
    if "location" in field.metadata
]
HEADERS = [name for name, place in PLACED if place == "headers" and name != "accept"]
COOKIES = [name for name, place in PLACED if place == "cookies"]


NAMES = st.sampled_from([*ARGUMENTS])


@st.composite
def pairs(draw, names=NAMES, values=TEXTS):
    """Names and texts; few, since a single misfit is the whole answer."""
    name = draw(st.one_of(names, names, names, TEXTS))
    fitting = ARGUMENTS.get(name, TEXTS)
    name += draw(st.sampled_from([""] * 9 + ["[]"]))
    return name, draw(st.one_of(fitting, fitting, ODD, values))


def lists(values, most=4):
    return st.lists(values, max_size=most)
