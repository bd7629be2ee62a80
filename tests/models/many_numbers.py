"""A model whose arguments need no code of its own: lists of numbers."""

from webargs import fields


def get_predict_args():
    return {
        "numbers": fields.List(fields.Float(), load_default=()),
        "text": fields.Str(load_default=""),
        "scale": fields.Float(load_default=1),
        "key": fields.Str(metadata={"location": "headers"}, data_key="X-Key"),
    }


def get_train_args():
    return get_predict_args()


def predict(numbers, text, scale, key=None, **rest):
    return [sum(numbers) * scale, len(text), key]


def train(**kwargs):
    return predict(**kwargs)
