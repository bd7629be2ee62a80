"""Models as a class and as an object, which cannot be pickled."""

import threading

from marshmallow import fields

from deepaas.model.v2.base import BaseModel

shared = fields.Int(load_default=1)


class Model(BaseModel):
    schema = {"answer": fields.Int(), "kind": fields.Str()}  # noqa: RUF012

    def __init__(self, kind="class"):
        self.kind = kind
        self.lock = threading.Lock()

    def get_metadata(self):
        return {"author": "A. Uthor", "description": f"A {self.kind}"}

    def warm(self):
        raise NotImplementedError

    def get_predict_args(self):
        return {"a": shared, "b": shared}

    def predict(self, a, b):
        with self.lock:
            return {"answer": a + b, "kind": self.kind}

    def get_train_args(self):
        return {"epochs": shared}

    def train(self, epochs):
        return {epochs}


model = Model("object")
