"""Mistakes that are found before the first call."""

from types import SimpleNamespace

import marshmallow
import pytest
from marshmallow import fields

from deepaas.arguments import Arguments
from deepaas.model.mistakes import find_mistakes


def predict(a, b=1):
    pass


def train(epochs):
    pass


def anything(**kwargs):
    pass


class Renamed(marshmallow.Schema):
    a = fields.Int(required=True, data_key="A (px)")
    other = fields.Int(attribute="b", load_default=1)


class Changed(Renamed):
    @marshmallow.post_load
    def change(self, values, **unused):
        return {"anything": values}


class OwnLoad(Renamed):
    def load(self, *args, **kwargs):
        return {}


def mistakes(model=None, predict_args=None, train_args=None, **names):
    return find_mistakes(
        SimpleNamespace(**names) if model is None else model,
        predict=Arguments({} if predict_args is None else predict_args),
        train=Arguments({} if train_args is None else train_args),
    )


A = {"a": fields.Int(required=True)}


@pytest.mark.parametrize(
    "definition",
    [
        A,
        {"a": fields.Int(load_default=3, data_key="the a")},
        {"x": fields.Int(attribute="a", required=True)},
        Renamed,
        Renamed(),
        Renamed().fields,
        Changed,
        OwnLoad,
    ],
)
def test_names_are_those_that_the_model_receives(definition):
    assert mistakes(predict=predict, predict_args=definition) == []


@pytest.mark.parametrize(
    ("definition", "words"),
    [
        ({}, "needs 'a'"),
        ({"x": fields.Int(data_key="a", required=True)}, "does not take 'x'"),
        ({**A, "accept": fields.Str()}, "does not take 'accept'"),
        (Changed().fields, None),
    ],
)
def test_every_call_fails(definition, words):
    if words is None:
        assert mistakes(predict=predict, predict_args=definition) == []
        return
    place = r"test_mistakes.py, line \d+\)$"
    with pytest.raises(
        TypeError, match=f"predict cannot be called: .*{words}.*{place}"
    ):
        mistakes(predict=predict, predict_args=definition)


def test_some_calls_fail():
    (line,) = mistakes(predict=predict, predict_args={**A, "c": fields.Int()})
    assert line.startswith("predict cannot take some calls: it does not take 'c' (")


def test_a_training_that_cannot_be_called():
    """It is a warning if the model predicts: that is what most models are for."""
    (line,) = mistakes(predict=anything, train=train)
    assert line.startswith("train cannot be called: it needs 'epochs', which is not")
    with pytest.raises(TypeError, match="train cannot be called"):
        mistakes(train=train)


def test_batches():
    def batch(calls):
        pass

    assert mistakes(predict_batch=batch, predict=predict) == []
    with pytest.raises(TypeError, match=r"predict_batch cannot be called: .*line"):
        mistakes(predict_batch=anything, predict=predict, predict_args=A)


def test_no_method_at_all():
    def prdict():
        pass

    with pytest.raises(
        TypeError, match=r"it has prdict \(.*test_mistakes.py, line \d+"
    ):
        mistakes(prdict=prdict, predictions=7)


@pytest.mark.parametrize(
    ("names", "missing", "similar"),
    [
        (["predict", "trian"], "train", "trian"),
        (["train", "prdict"], "predict", "prdict"),
        (["predict", "get_predict_arg"], "get_predict_args", "get_predict_arg"),
        (["predict", "warmup"], "warm", "warmup"),
        (["predict", "getMetadata"], "get_metadata", "getMetadata"),
    ],
)
def test_names_that_look_like_missing_ones(names, missing, similar):
    (line,) = mistakes(**dict.fromkeys(names, anything))
    assert line.startswith(f"it has no {missing}; {similar} is never called (")


def test_names_that_are_fine():
    names = ("predict", "get_predict_args", "predict_url", "predict_data", "train_step")
    assert mistakes(**dict.fromkeys(names, anything), trainer=int) == []
    names = ("predict_batch", "get_train_args", "predicts", "train")
    assert mistakes(**dict.fromkeys(names, lambda calls=None: 1)) == []


def test_functions_that_a_module_imports():
    from tests.models import echo

    assert mistakes(echo, predict_args=echo.get_predict_args()) == []
    echo.warmup = anything
    try:
        assert mistakes(echo, predict_args=echo.get_predict_args()) == []
    finally:
        del echo.warmup
