"""The JSON forms of objects of other libraries."""

import base64
import datetime
import enum
import io
import json
from typing import Any

import numpy
import pandas
import PIL.Image
import pydantic
import pytest

from deepaas.encoding import NoJSONForm, encode_json
from deepaas.executors.messages import Envelope
from deepaas.executors.replies import make_reply

DAY = datetime.timedelta(days=1, milliseconds=500)
MOMENT = datetime.datetime(2026, 12, 24, 18)


class Box(pydantic.BaseModel):
    name: str
    took: datetime.timedelta = DAY
    when: datetime.datetime = MOMENT
    score: float = float("nan")
    secret: pydantic.SecretStr = pydantic.SecretStr("secret")


class Arrays(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    scores: Any
    boxes: list[Box] = []


class Names(pydantic.RootModel[list[str]]):
    pass


class Mode(enum.Enum):
    DAILY = DAY


def form(value):
    """The JSON form of a value, which is the same at the top and deep inside."""
    outer = json.loads(encode_json(value))
    # A key that is not text takes the other way through the encoder.
    assert json.loads(encode_json({1: [value]})) == {"1": [outer]}
    return outer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (DAY, 86400.5),
        (Mode.DAILY, 86400.5),
        (numpy.timedelta64(3, "s"), 3.0),
        (numpy.array([1, "NaT"], "timedelta64[ns]"), [0.0, None]),
        (numpy.array([1500], "timedelta64[ms]"), [1.5]),
        (pandas.Timedelta(DAY), 86400.5),
        (pandas.Timestamp(MOMENT), "2026-12-24T18:00:00"),
        (pandas.NaT, None),
        (pandas.NA, None),
        (pandas.Period("2026-12"), "2026-12"),
        (pandas.Series([1.5, None]), [1.5, None]),
        (pandas.Series([MOMENT, None]), ["2026-12-24T18:00:00", None]),
        (pandas.Series([DAY, None]), [86400.5, None]),
        (pandas.Index(["a", "b"]), ["a", "b"]),
        (pandas.Categorical(["a", "b"]), ["a", "b"]),
        (pandas.DataFrame(), []),
        (
            pandas.DataFrame({"a": [1, 2], "when": [MOMENT, None]}, index=[7, 8]),
            [{"a": 1, "when": "2026-12-24T18:00:00"}, {"a": 2, "when": None}],
        ),
        (pandas.DataFrame([[1, numpy.inf]]), [{"0": 1, "1": None}]),
        (Names(["a", "b"]), ["a", "b"]),
    ],
    ids=repr,
)
def test_the_form_of(value, expected):
    assert form(value) == expected


def test_pydantic_models():
    box = {
        "name": "cat",
        "took": "P1DT0.5S",
        "when": "2026-12-24T18:00:00",
        "score": None,
        "secret": "**********",
    }
    assert form(Box(name="cat")) == box
    assert form([Box(name="cat")]) == [box]
    assert form(Arrays(scores=numpy.array([1, 2]))) == {"scores": [1, 2], "boxes": []}


def test_a_model_of_pydantic_1():
    pydantic_1 = pytest.importorskip("pydantic.v1")

    class Old(pydantic_1.BaseModel):
        took: datetime.timedelta = DAY

    assert form(Old()) == {"took": 86400.5}


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "L", "P", "1", "I;16", "CMYK", "YCbCr"]
)
def test_a_picture(mode):
    picture = PIL.Image.new(mode, (3, 2))
    shown = PIL.Image.open(io.BytesIO(base64.b64decode(form(picture))))
    assert (shown.format, shown.size) == ("PNG", (3, 2))


@pytest.mark.parametrize("media_type", ["image/png", "image/*"])
def test_a_picture_that_is_asked_for(media_type):
    reply = reply_to(PIL.Image.new("RGB", (3, 2)), media_type)
    assert reply.media_type == "image/png"
    assert PIL.Image.open(io.BytesIO(reply.body)).size == (3, 2)


def test_a_picture_of_another_type():
    with pytest.raises(TypeError, match="returned a Image for image/jpeg"):
        reply_to(PIL.Image.new("RGB", (3, 2)), "image/jpeg")


def reply_to(value, media_type):
    return make_reply(
        value,
        media_type=media_type,
        validate=None,
        envelope=Envelope.TEXT,
        given={},
        started=0.0,
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (pandas.DataFrame([[1, 2]], columns=["a", "a"]), "DataFrame with two columns"),
        (pandas.DataFrame({"a": [object()]}), r"object has no JSON form, at x\[0\].a"),
        (Arrays(scores=object()), "object has no JSON form, at x.scores"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_form(value, message):
    with pytest.raises(NoJSONForm, match=message):
        encode_json({"x": value})
