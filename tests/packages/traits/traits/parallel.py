"""A model that computes in children of its own, forked and spawned."""

import multiprocessing

from marshmallow import fields, validate


def square(x):
    return x * x


def get_predict_args():
    methods = validate.OneOf(["fork", "spawn"])
    return {"method": fields.Str(load_default="fork", validate=methods)}


def predict(method):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(square, range(4))
