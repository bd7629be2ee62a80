"""Answers at once, unless told otherwise, and keeps a list of the calls that ran."""

import os
import signal
import time
from pathlib import Path

from webargs import fields


def get_predict_args():
    return {
        "n": fields.Int(load_default=0),
        "ran": fields.Str(load_default=None),
        "gate": fields.Str(load_default=None),
        "size": fields.Int(load_default=0),
        "says": fields.Bool(load_default=False),
        "dies": fields.Bool(load_default=False),
        "yields": fields.Bool(load_default=False),
    }


def predict(
    n, ran=None, gate=None, size=0, says=False, dies=False, yields=False, **unused
):
    if ran:
        with open(ran, "a") as file:
            file.write(f"{n}\n")
    while gate and not Path(gate).exists():
        time.sleep(0.01)
    if says and not yields:
        print("this is", n)
    if dies:
        os.kill(os.getpid(), signal.SIGKILL)
    if yields:
        return items(n, size, says)
    return {"n": n, "pid": os.getpid(), "more": "x" * size}


def items(n, size, says):
    number = 0
    while n < 0 or number < n:
        if says:
            print(number, end=" ", flush=True)
        yield "x" * size or number
        number += 1
        time.sleep(0.001)
