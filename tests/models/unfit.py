"""Gives an answer that does not fit its schema."""

import marshmallow
from marshmallow import fields


class Label(marshmallow.Schema):
    label = fields.Str(required=True)
    probability = fields.Float()


class Answer(marshmallow.Schema):
    labels = fields.List(fields.Nested(Label))


schema = Answer


def predict():
    return {"labels": [{"probability": "high"}]}
