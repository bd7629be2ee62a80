"""Stands in for the model `fail` of the captures."""

from webargs import fields


def get_predict_args():
    return {"x": fields.Float(required=True)}


def predict(x):
    return {"y": x}
