"""Hints of authors: those that are read, and those that are ignored."""

from pathlib import Path

import pytest
from marshmallow import fields

from deepaas.arguments.hints import Hints, read_hints


def hints(is_file=False, **metadata):
    return read_hints(fields.Raw(metadata=metadata), is_file=is_file)


def test_nothing_said():
    assert hints() == Hints()
    assert hints(description="x", location="form", title=None) == Hints()


def test_all_said():
    found = hints(
        title="T",
        unit="px",
        widget="slider",
        order=0,
        advanced=False,
        examples=(1, "a"),
    )
    assert found == Hints("T", "px", "slider", 0, False, (), (1, "a"))


def test_a_file():
    found = hints(True, media="image/*", examples=["a.png", Path("b.png")])
    assert found == Hints(media=("image/*",), examples=("a.png", "b.png"))
    assert hints(media="image/*") == Hints()  # of no file, it means nothing


def test_a_list_of_files_may_say_it_at_its_items():
    inner = fields.Raw(metadata={"media": ".csv", "title": "One"})
    field = fields.List(inner, metadata={"title": "All"})
    assert read_hints(field, is_file=True) == Hints(title="All", media=(".csv",))


@pytest.mark.parametrize(
    "media",
    ["image/*", "audio/x-wav", "image/svg+xml", ".nii.gz", ["image/png", ".tiff"]],
)
def test_media(media):
    assert hints(True, media=media).ignored == ()


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *[("media", wrong) for wrong in ("png", "*/*/*", 3, [3], ["png"], "a/b c", {})],
        *[("examples", wrong) for wrong in ("a.png", [3], [None], 3, {"a": "b"})],
        *[("title", wrong) for wrong in (3, "", [])],
        *[("unit", wrong) for wrong in (3, {})],
        *[("widget", wrong) for wrong in ("dial", 3, [], ["slider"])],
        *[("order", wrong) for wrong in ("1", True, float("nan"), float("inf"))],
        *[("advanced", wrong) for wrong in (1, "yes")],
    ],
)
def test_what_cannot_be_used_is_ignored(word, value):
    found = hints(True, **{word: value})
    [reason] = found.ignored
    assert reason.startswith(f"'{word}' is ignored: it has to be ")
    assert found == Hints(ignored=found.ignored)
