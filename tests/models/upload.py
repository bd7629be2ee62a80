"""Answers with what the uploaded file holds."""

import hashlib
from pathlib import Path

from webargs import fields


def get_predict_args():
    return {"data": fields.Field(required=True, type="file", location="form")}


def predict(data):
    return hashlib.sha256(Path(data.filename).read_bytes()).hexdigest()
