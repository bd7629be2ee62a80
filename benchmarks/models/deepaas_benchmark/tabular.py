"""Classifies a row of 30 numbers with a forest."""

from webargs import fields

from deepaas_benchmark import work

classify = None


def warm():
    global classify
    if classify is None:
        classify = work.load_tabular()


def get_predict_args():
    return {"row": fields.List(fields.Float(), required=True)}


def predict(row):
    warm()
    return classify(row)
