"""Touches the file that it is given and gives it back, or deletes it."""

import os

from webargs import fields


def get_predict_args():
    file = fields.Field(required=True, type="file", location="form")
    return {"data": file, "delete": fields.Bool(missing=False)}


def predict(data, delete):
    if delete:
        os.remove(data.filename)
        return "deleted"
    os.utime(data.filename)
    return open(data.filename, "rb")
