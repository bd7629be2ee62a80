"""Offers a choice that is not a media type."""

from webargs import fields, validate


def get_predict_args():
    choices = ["application/json", "image/*", "*/*", "png"]
    return {"accept": fields.Str(validate=validate.OneOf(choices))}


def predict(accept):
    return accept
