"""Arguments as a Schema class, an instance, and the fields of one, bound already."""

import marshmallow
from marshmallow import fields


class Inner(marshmallow.Schema):
    label = fields.Str(required=True)


class ArgumentsSchema(marshmallow.Schema):
    when = fields.DateTime(required=True)
    limit = fields.Int(load_default=3, validate=marshmallow.validate.Range(1, 5))

    class Meta:
        datetimeformat = "%d.%m.%Y"


class AnswerSchema(marshmallow.Schema):
    status = fields.Str()
    predictions = fields.List(fields.Nested(Inner))


class _Model:
    schema = AnswerSchema

    def __init__(self, arguments):
        self.get_predict_args = lambda: arguments

    def predict(self, when, limit):
        found = [{"label": when.isoformat()}] * limit
        return {"status": "OK", "predictions": found}


with_class = _Model(ArgumentsSchema)
with_instance = _Model(ArgumentsSchema())
with_fields = _Model(ArgumentsSchema().fields)
