"""The shown arguments of a job: without secrets, paths and long values."""

import json

import marshmallow
import pytest
from marshmallow import fields

from deepaas.arguments import Arguments
from deepaas.arguments.redaction import HIDDEN, MAX_SHOWN_BYTES, MAX_SHOWN_LEVELS
from deepaas.model.v2.wrapper import UploadedFile

SECRET = fields.Str(load_only=True)
FILE = UploadedFile("data", "/tmp/x/a.png", "image/png", "mine.png")
SHOWN_FILE = {
    "name": "data",
    "content_type": "image/png",
    "original_filename": "mine.png",
}


class Login(marshmallow.Schema):
    user = fields.Str()
    password = fields.Str(load_only=True)


def shown(field, value):
    """Return what is shown of a value of a field, which must have a JSON form."""
    found = Arguments({"x": field}).show({"x": value})["x"]
    json.dumps(found)
    return found


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        (fields.Str(load_only=True), "secret", HIDDEN),
        (fields.Int(), 7, 7),
        (fields.Float(), float("nan"), None),
        (fields.Nested(Login), {"user": "u", "password": "secret"}, "login"),
        (fields.List(fields.Nested(Login)), [{"password": "secret"}], "in a list"),
        (fields.List(SECRET), ["secret", "secret"], [HIDDEN, HIDDEN]),
        (fields.Dict(values=SECRET), {"a": "secret"}, {"a": HIDDEN}),
        (fields.Tuple((fields.Int(), SECRET)), (1, "secret"), [1, HIDDEN]),
        (fields.Raw(metadata={"type": "file"}), FILE, SHOWN_FILE),
        (fields.List(fields.Raw(metadata={"type": "file"})), [FILE], [SHOWN_FILE]),
        (fields.Nested(Login), "what a post_load has made: secret", "<str>"),
        (fields.Raw(), {1, 2}, [1, 2]),
    ],
)
def test_what_is_shown(field, value, expected):
    login = {"user": "u", "password": HIDDEN}
    names = {"login": login, "in a list": [{"password": HIDDEN}]}
    found = shown(field, value)
    if isinstance(expected, str):
        expected = names.get(expected, expected)
    assert found == expected
    assert "secret" not in str(found)
    assert "/tmp" not in str(found)


def test_an_argument_has_the_callers_name():
    field = fields.Str(data_key="pass word", load_only=True)
    arguments = Arguments({"password": field, "n": fields.Int(data_key="size(px)")})
    shown = arguments.show({"password": "secret", "n": 1})
    assert shown == {"pass word": HIDDEN, "size(px)": 1}


def test_a_long_value_is_shown_by_its_size():
    text = "x" * MAX_SHOWN_BYTES
    assert shown(fields.Str(), text) == f"({MAX_SHOWN_BYTES + 2} bytes of JSON)"
    assert shown(fields.Str(), text[:-2]) == text[:-2]


def test_a_deep_value_is_not_shown():
    deep = []
    for _ in range(MAX_SHOWN_LEVELS - 1):
        deep = [deep]
    assert shown(fields.Raw(), deep) == deep
    assert shown(fields.Raw(), [deep]) == "(JSON of more than 100 levels)"
    assert shown(fields.Raw(), {"x": [deep]}) == "(JSON of more than 100 levels)"


def test_an_unknown_name_beside_a_secret_is_hidden():
    """A post_load may have put the secret there."""

    class Renames(Login):
        @marshmallow.post_load
        def rename(self, values, **unused):
            return {"who": f"{values['user']}:{values['password']}"}

    arguments = Arguments(Renames)
    loaded = arguments.load({"user": "u", "password": "secret"})
    assert arguments.show(loaded) == {"who": HIDDEN}


def test_a_value_whose_text_cannot_be_shown():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    assert shown(fields.Raw(), Odd()) == "<Odd>"
    assert shown(fields.Raw(), b"\xff") == "<bytes of 1 bytes>"
