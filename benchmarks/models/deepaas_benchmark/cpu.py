"""Keeps a processor busy for 20 ms."""

from webargs import fields

from deepaas_benchmark import work

busy = work.load_cpu()


def get_predict_args():
    return {"n": fields.Int(required=True)}


def predict(n):
    return busy(n)
