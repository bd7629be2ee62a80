"""Says which files it got, of one argument and of a list of files."""

import hashlib
from pathlib import Path

from webargs import fields


def get_predict_args():
    return {
        "note": fields.Field(
            metadata={
                "type": "file",
                "location": "form",
                "media": "text/plain",
                "examples": ["samples/one.txt"],
            }
        ),
        "scans": fields.List(
            fields.Field(metadata={"type": "file", "media": ["image/*", ".bin"]}),
            metadata={"location": "form"},
        ),
    }


def digests(files):
    return {
        file.original_filename: hashlib.sha256(
            Path(file.filename).read_bytes()
        ).hexdigest()
        for file in files
    }


schema = {"note": fields.Dict(), "scans": fields.Dict()}


def predict(note=None, scans=()):
    return {"note": digests([note] if note else []), "scans": digests(scans)}
