"""Says who computes, for a while."""

import os
import time
from pathlib import Path

from webargs import fields


def get_predict_args():
    return {"n": fields.Int(), "seconds": fields.Float(), "fail": fields.Bool()}


def predict(n=0, seconds=0.0, fail=False):
    time.sleep(seconds)
    if fail:
        raise ValueError(n)
    return {"n": n, "pid": os.getpid()}


def train(seconds=0.0, mark=None):
    if mark:
        Path(mark).touch()
    time.sleep(seconds)
    return os.getpid()
