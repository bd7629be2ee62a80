"""Says what type was chosen, among choices in a tuple, with a default."""

from webargs import fields, validate

CHOICES = ("application/zip", "image/png", "application/json")


def get_predict_args():
    one_of = validate.OneOf(CHOICES)
    return {
        "accept": fields.Str(missing="image/png", location="headers", validate=one_of)
    }


def predict(accept):
    return accept
