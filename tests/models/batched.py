"""Takes many calls at once, each with an answer of its own."""

import os
import signal
import time

import numpy
import pandas
from webargs import fields

max_batch_size = 16
batch_timeout = 0.05


def get_predict_args():
    return {
        "n": fields.Int(required=True),
        "how": fields.Str(load_default="number"),
        "data": fields.Field(metadata={"type": "file", "location": "form"}),
    }


def predict_batch(calls):
    print("together", len(calls))
    time.sleep(0.005)
    answers = [answer(size=len(calls), **call) for call in calls]
    return KINDS.get(calls[0]["how"], list)(answers)


# Each has as many items as there are calls.
KINDS = {
    "dict": lambda answers: {call: call for call in range(len(answers))},
    "set": lambda answers: set(range(len(answers))),
    "str": lambda answers: "x" * len(answers),
    "frame": lambda answers: pandas.DataFrame([[0] * len(answers)]),
    "generator": lambda answers: (each for each in answers),
    "tuple": tuple,
    "array": lambda answers: numpy.array([each["n"] for each in answers]),
}


def answer(n, how, size, data=None):
    if how == "bad":
        return ValueError(f"{n} is bad")
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "raise":
        raise RuntimeError("the whole batch")
    if how == "no form":
        return object()
    if data is not None:
        with open(data.filename, "rb") as file:
            return file.read()
    return {"n": n, "size": size}
