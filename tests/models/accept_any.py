"""Says what type was chosen, without choices and without a default."""

from webargs import fields


def get_predict_args():
    return {"accept": fields.Str(location="headers")}


def predict(accept):
    return accept
