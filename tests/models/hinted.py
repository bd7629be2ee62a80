"""Arguments with hints for a form, in both styles of metadata."""

import datetime
from pathlib import Path

from webargs import fields, validate

SAMPLES = Path(__file__).parent / "samples"


def get_predict_args():
    return {
        "text": fields.Str(
            metadata={
                "title": "Prompt",
                "examples": ["a", "b"],
                "widget": "textarea",
                "order": 2,
            }
        ),
        "size": fields.Int(
            validate=validate.Range(1, 9), unit="px", order=1.5, widget="slider"
        ),
        "since": fields.Date(metadata={"examples": [datetime.date(2026, 1, 2)]}),
        "seed": fields.Int(metadata={"advanced": True, "location": "query"}),
        "hidden": fields.Str(metadata={"advanced": False}),
        "note": fields.Field(
            metadata={
                "type": "file",
                "location": "form",
                "media": "text/plain",
                "examples": ["samples/one.txt", SAMPLES / "two.svg"],
            }
        ),
        "scans": fields.List(
            fields.Field(metadata={"type": "file", "media": [".nii.gz", "image/*"]}),
            metadata={"location": "form", "examples": ["samples/one.txt"]},
        ),
    }


def predict(**kwargs):
    return {}


def get_train_args():
    return {"data": fields.Field(type="file", examples=["samples/two.svg"])}


def train(data):
    return {}
