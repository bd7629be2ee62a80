"""Ends the process in unusual places."""

import sys
import time

from webargs import fields, validate


class Unkind(fields.Field):
    def _deserialize(self, value, attr, data, **kwargs):
        raise RuntimeError("cannot cope")


def get_metadata():
    if time.monotonic() > 0:
        sys.exit(3)


def get_predict_args():
    choices = validate.OneOf(["text/csv", "application/json"])
    return {
        "exits": fields.Str(validate=lambda value: sys.exit(3)),
        "unkind": Unkind(),
        "data": fields.Field(type="file", location="form"),
        "nested": fields.Nested({"x": fields.Int()}),
        "accept": fields.Str(data_key="Accept", location="headers", validate=choices),
    }


def predict(**kwargs):
    return kwargs["accept"]
