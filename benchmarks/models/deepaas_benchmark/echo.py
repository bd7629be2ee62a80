"""Answers with the number it was sent."""

from webargs import fields

from deepaas_benchmark import work

echo = work.load_echo()


def get_predict_args():
    return {"n": fields.Int(required=True)}


def predict(n):
    return echo(n)
