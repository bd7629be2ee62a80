"""Takes many calls at once, each with an answer of its own."""

import os
import signal
import time

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
    return [answer(size=len(calls), **call) for call in calls]


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
