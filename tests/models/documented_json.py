"""Arguments in a JSON body, and no file."""

import marshmallow
from marshmallow import fields


class AnswerSchema(marshmallow.Schema):
    label = fields.Str()


schema = AnswerSchema


def get_predict_args():
    return {
        "n": fields.Int(required=True, metadata={"location": "json"}),
        "options": fields.Dict(load_default=None, metadata={"location": "json"}),
        "accept": fields.Str(
            metadata={"location": "headers"},
            validate=marshmallow.validate.OneOf(["image/png", "application/json"]),
        ),
    }


def predict(**kwargs):
    return {"label": "x"}
