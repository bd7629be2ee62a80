"""Takes a minute to warm."""

import time

from webargs import fields


def warm():
    print("warming", flush=True)
    time.sleep(60)


def get_predict_args():
    return {"n": fields.Int()}


def predict(n=0):
    return n
