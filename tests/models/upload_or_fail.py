"""Gives the SHA-256 of a file, or fails when told to."""

import hashlib
from pathlib import Path

from webargs import fields


def get_predict_args():
    return {
        "data": fields.Field(required=True, location="form", type="file"),
        "fail": fields.Bool(load_default=False),
    }


def predict(data, fail):
    if fail:
        raise ValueError("told to fail")
    return hashlib.sha256(Path(data.filename).read_bytes()).hexdigest()
