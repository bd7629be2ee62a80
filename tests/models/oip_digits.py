"""Stands in for the model `digits` of the captures: 64 numbers, one label each."""

import os

from webargs import fields, validate

schema = {"predict": fields.Int()}


def get_metadata():
    return {"version": os.environ.get("DIGITS_VERSION", "1")}


def get_predict_args():
    length = validate.Length(equal=64)
    return {"x": fields.List(fields.Float(), required=True, validate=length)}


def predict_batch(calls):
    return [{"predict": 1 if any(call["x"]) else 9} for call in calls]
