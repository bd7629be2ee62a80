"""Takes any file and says what it got; gives back as much as it is told to."""

import hashlib
import tempfile
from pathlib import Path

from webargs import fields


def get_predict_args():
    return {
        "data": fields.Field(metadata={"type": "file", "location": "form"}),
        "size": fields.Int(load_default=0),
        "how": fields.Str(load_default="bytes"),
        "accept": fields.Str(
            load_default="application/json",
            metadata={"enum": ["application/json", "image/png", "text/plain"]},
        ),
    }


def sha256(file):
    found = hashlib.sha256()
    while piece := file.read(1 << 20):
        found.update(piece)
    return found.hexdigest()


def digest(path):
    with open(path, "rb") as file:
        return sha256(file)


def predict(size, how, accept, data=None):
    if data is not None:
        return {**data._asdict(), "sha256": digest(data.filename)}
    if how == "file":
        with tempfile.NamedTemporaryFile(delete=False, suffix=".bin") as file:
            file.write(b"start")
            file.truncate(size)
        return Path(file.name)
    if how.startswith("/"):
        return open(how, "rb")
    if how == "json":
        return ["x" * 10] * (size // 10)
    return "x" * size if accept == "text/plain" else b"x" * size
