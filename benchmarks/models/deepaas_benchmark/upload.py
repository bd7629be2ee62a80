"""Answers with the SHA-256 of a file."""

from pathlib import Path

from webargs import fields

from deepaas_benchmark import work

digest = work.load_upload()


def get_predict_args():
    return {"data": fields.Field(required=True, type="file", location="form")}


def predict(data):
    return digest(Path(data.filename).read_bytes())
