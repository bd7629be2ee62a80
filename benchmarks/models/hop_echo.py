"""Answers with its argument; of `benchmarks.hop`."""

from webargs import fields


def get_predict_args():
    return {"n": fields.Int(required=True)}


def predict(n):
    return {"n": n}
