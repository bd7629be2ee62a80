"""The text of a body: charsets, JSON, and forms that are not multipart."""

import math

import pytest

from deepaas.api.requests.texts import (
    JSON_AS_FORM,
    MAX_FIELDS,
    is_json_type,
    parse_form,
)
from deepaas.arguments.json_text import (
    MAX_LOCKED_CHARS,
    decode,
    decode_json,
    parse_json,
)
from deepaas.errors import BodyTooLarge, InvalidArguments


@pytest.mark.parametrize(
    ("text", "charset", "values"),
    [
        (b"", None, {}),
        (b" \r\n", None, {}),
        (b'{"a": 1}', None, {"a": 1}),
        ('{"a": "é"}'.encode(), "utf-8", {"a": "é"}),
        ('{"a": "é"}'.encode("latin-1"), "iso-8859-1", {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16"), None, {"a": "é"}),
        ('{"a": "é"}'.encode("utf-16-le"), "utf-8", {"a": "é"}),
        (b'\xef\xbb\xbf{"a": 1}', None, {"a": 1}),
    ],
)
def test_json(text, charset, values):
    assert parse_json(text, charset) == values
    assert parse_json(bytearray(text), charset) == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "line 1, column 2: "),
        (b'{"a":\n  x}', "line 2, column 3: Expecting value."),
        (b"\xff", "It cannot be decoded: "),
        (b'{"a": ' + b"[" * 100_000, "It is nested too deeply."),
        (b'{"a": ' + b"1" * 5000 + b"}", "A number has too many digits."),
    ],
)
def test_broken_json_says_where(text, reason):
    with pytest.raises(InvalidArguments) as refused:
        parse_json(text, None)
    assert refused.value.status == 400
    first, second = refused.value.messages["json"]
    assert first == "Invalid JSON body."
    assert second.startswith(reason)


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"a"'])
def test_json_that_is_not_an_object(text):
    with pytest.raises(InvalidArguments) as refused:
        parse_json(text, None)
    assert refused.value.status == 422
    assert refused.value.messages == {"json": ["Must be a JSON object."]}


@pytest.mark.parametrize(
    "charset", ["nonsense", "idna", "utf-7", "unicode_escape", "undefined", "a\0b"]
)
def test_what_is_not_a_charset(charset):
    for read in (decode, parse_form, parse_json):
        with pytest.raises(LookupError):
            read(b'{"a": 1}', charset)


def test_a_long_text_is_read_as_a_short_one():
    text = '{"a": [1, NaN, "é", {"b": null}], "c": "' + "x" * MAX_LOCKED_CHARS + '"}'
    value = decode_json(text)
    assert len(value.pop("c")) == MAX_LOCKED_CHARS
    assert math.isnan(value["a"].pop(1))
    assert value == {"a": [1, "é", {"b": None}]}
    for broken in ("x", "]"):
        with pytest.raises(ValueError, match=r"Expecting|Extra"):
            decode_json(text + broken)


@pytest.mark.parametrize(
    ("text", "charset", "pairs"),
    [
        (b"", None, []),
        (b"a=1&a=2&b=&c", None, [("a", "1"), ("a", "2"), ("b", ""), ("c", "")]),
        (b"a=%C3%A9+x\r\n", None, [("a", "é x")]),
        (b"a=%E9", "latin-1", [("a", "é")]),
        (b"x={&y=}", None, [("x", "{"), ("y", "}")]),
    ],
)
def test_a_form(text, charset, pairs):
    assert list(parse_form(text, charset).items()) == pairs


@pytest.mark.parametrize("text", [b'{"a": 1}', b" [1, 2] ", b'{"a": "x&y=z"}', b"{a}"])
def test_json_that_is_sent_as_a_form(text):
    with pytest.raises(InvalidArguments) as refused:
        parse_form(text, None)
    assert refused.value.messages == {"json": [JSON_AS_FORM]}


def test_a_form_of_too_many_fields():
    with pytest.raises(BodyTooLarge):
        parse_form(b"a=1&" * (MAX_FIELDS + 1), None)


@pytest.mark.parametrize(
    ("media_type", "is_json"),
    [("application/json", True), ("a/b+json", True), ("text/json", False), ("", False)],
)
def test_which_types_are_json(media_type, is_json):
    assert is_json_type(media_type) is is_json
