"""The frames between server and worker."""

import pickle

import pytest

from deepaas.api.routes import message_body
from deepaas.errors import ModelRaised
from deepaas.executors.frames import HEADER, pack, unpack
from deepaas.executors.messages import (
    CODES,
    KINDS,
    Call,
    End,
    Envelope,
    Loaded,
    Piece,
    Raised,
    Ready,
    Reply,
    Start,
    StartFailed,
    StreamBegan,
)
from deepaas.model.loading import Batching, ModelRef
from deepaas.progress import Batch, Report

MESSAGES = [
    Start(ModelRef("m", "m.py"), ["deepaas-run", "é"], True, Envelope.JSON),
    Call("predict", {"n": 1, "self": b"\0"}, "image/png", True),
    Loaded(),
    StartFailed("warm: OSError: no disk (net.py, line 2)", "Traceback"),
    Ready(None),
    Ready(Batching(16, 0.01)),
    Reply("text/plain", None, "/tmp/x", True, "name"),
    StreamBegan("text/event-stream"),
    Piece(),
    End(),
    Raised("ValueError", "text", "Traceback", 409, True),
    Batch(Report(1, 1.0, 2, None, {"loss": 0.5}), [], 1),
]


def test_every_kind_is_tried():
    assert {type(message) for message in MESSAGES} == set(KINDS)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda value: type(value).__name__)
def test_a_message_arrives_as_it_was(message):
    frame = pack(message, b"body", 0.25)
    code, size, body_size, seconds = HEADER.unpack_from(frame)
    assert code == CODES[type(message)]
    assert (len(frame) - HEADER.size, body_size, seconds) == (size, 4, 0.25)
    arrived = unpack(code, memoryview(frame)[HEADER.size :])
    assert type(arrived) is type(message)
    assert arrived == message


def test_an_argument_that_cannot_be_pickled():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pack(Call("predict", {"n": lambda: 1}))


@pytest.mark.parametrize(
    ("raised", "message", "status"),
    [
        (Raised("ValueError", "no", "t"), "ValueError: no", 500),
        (Raised("KeyError", "", "t"), "KeyError", 500),
        (Raised("HTTPConflict", "mine", "t", 409), "mine", 409),
        (Raised("HTTPServerError", "mine", "t", for_caller=True), "mine", 500),
    ],
)
def test_what_the_caller_gets_of_an_exception(raised, message, status):
    error = raised.error()
    assert isinstance(error, ModelRaised)
    assert (str(error), error.status, error.traceback) == (message, status, "t")
    assert message_body(error) == {"message": message}
