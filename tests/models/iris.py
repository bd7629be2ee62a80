"""The model that doc/calling.md calls: a list of numbers."""

from webargs import fields


def get_predict_args():
    return {"sizes": fields.List(fields.Float(), required=True)}


def predict(sizes):
    return "setosa" if len(sizes) < 3 or sizes[2] < 2.5 else "virginica"
