"""Its arguments are a list."""

from webargs import fields


def get_predict_args():
    return [fields.Int()]


def predict(**kwargs):
    return "never"
