"""Ends its process in the middle of a call, unless told not to."""

import os

from webargs import fields


def get_predict_args():
    return {"die": fields.Bool(load_default=True)}


def predict(die):
    if die:
        os._exit(1)
    return "alive"
