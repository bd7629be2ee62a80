"""Answers with what it was sent."""

from webargs import fields

schema = {"n": fields.Int(required=True)}


def get_predict_args():
    return {"n": fields.Int(required=True)}


def predict(n):
    return {"n": n}
