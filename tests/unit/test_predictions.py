"""The service between routes and executors, with an executor that only notes calls."""

import asyncio

import pytest

from deepaas.config import Settings
from deepaas.errors import DeepaasError, InvalidArguments, NotAcceptable, NotFound
from deepaas.executors import Reply
from deepaas.model.adapter import ModelAdapter
from deepaas.model.loading import ModelRef
from deepaas.predictions import Predictions, ServedModel, Values

MODEL = """\
from marshmallow import fields, validate

def get_predict_args():
    choices = ["application/json", "image/png"]
    return {
        "n": fields.Int(required=True),
        "accept": fields.Str(validate=validate.OneOf(choices)),
    }

def get_train_args():
    return {"password": fields.Str(load_only=True, load_default="x")}

def predict(n, accept): ...
"""


class Noting:
    """An executor that notes its calls and answers with nothing."""

    def __init__(self, adapter):
        self.calls = []
        self.description = adapter.describe()

    async def renewed(self):
        return False

    async def call(self, method, kwargs, **options):
        self.calls.append((method, kwargs, options))
        return Reply("application/json", b"null")


@pytest.fixture
def make(tmp_path):
    """Returns a service with one model, `m`; and its executor."""

    def make(*, text=MODEL, **settings):
        path = tmp_path / "noting.py"
        path.write_text(text)
        executor = Noting(ModelAdapter(ModelRef("m", str(path))))
        model = ServedModel("m", executor)
        return Predictions({"m": model}, Settings(**settings)), executor

    return make


def predict(service: Predictions, given: Values) -> Reply:
    model = service.find_callable("m", "predict")
    call = service.predict(model, given, label="id", on_event=print)
    return asyncio.run(call)


def test_a_prediction(make):
    service, executor = make(predict_timeout=2.5)
    given = Values({"n": "7"}, accept="image/*;q=0.5, text/html")
    assert predict(service, given).body == b"null"
    [(method, kwargs, options)] = executor.calls
    assert (method, kwargs) == ("predict", {"n": 7, "accept": "image/png"})
    assert options == {
        "media_type": "image/png",
        "timeout": 2.5,
        "finish": True,
        "label": "id",
        "reports": False,
        "tensors": None,
        "on_event": print,
        "uploads": [],
    }


@pytest.mark.parametrize("large", [False, True])
def test_arguments_that_do_not_fit(make, large):
    service, executor = make()
    problems = {"m": ["Unknown argument."]}
    for values, messages in (
        ({"n": "x"}, {"n": ["Not a valid integer."], **problems}),
        ({"n": 1}, problems),
    ):
        with pytest.raises(InvalidArguments) as raised:
            predict(service, Values(values, problems=problems, large=large))
        assert raised.value.messages == messages
    with pytest.raises(NotAcceptable):
        predict(service, Values({"n": 1}, accept="text/html", large=large))
    assert executor.calls == []


def test_no_such_model(make):
    service, _ = make()
    for find in (service.find, lambda name: service.find_callable(name, "predict")):
        with pytest.raises(NotFound, match=r"no model 'x'; these are served: m\."):
            find("x")


def test_a_method_that_is_turned_off(make):
    service, _ = make(predict_endpoint=False, train_endpoint=False)
    for method, option in (("predict", "--nopredict-"), ("train", "--notrain-")):
        for find in (service.find, service.find_callable):
            with pytest.raises(NotFound, match=option):
                find("m", method)
    assert service.find("m").name == "m"


def test_a_method_that_the_model_lacks(make):
    service, _ = make()
    assert service.find("m", "train").name == "m"
    with pytest.raises(DeepaasError, match="does not implement train") as raised:
        service.find_callable("m", "train")
    assert raised.value.status == 501


def test_a_training_has_no_time_out_and_no_media_type(make):
    service, executor = make(text=f"{MODEL}\ndef train(password): ...\n")
    model = service.find_callable("m", "train")
    prepare = service.prepare(model, "train", Values({"password": "secret"}))
    call = asyncio.run(prepare)
    assert call.show_arguments() == {"password": "***"}
    asyncio.run(call.run(label="job", on_event=print, reports=True))
    [(method, kwargs, options)] = executor.calls
    assert (method, kwargs) == ("train", {"password": "secret"})
    assert (options["media_type"], options["timeout"]) == (None, None)
    assert (options["finish"], options["reports"]) == (False, True)
