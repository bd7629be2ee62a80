"""The model of the soak run: answers, waits, fails, and reads files."""

import hashlib
import os
import time
from pathlib import Path

from webargs import fields


class TwoArgumentsError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


def get_predict_args():
    return {
        "n": fields.Int(required=True),
        "seconds": fields.Float(load_default=0.0),
        "fail": fields.Str(load_default=""),
        "data": fields.Field(type="file", location="form"),
    }


def predict(n, seconds, fail, data=None):
    started = time.time()
    if ran := os.environ.get("SOAK_RAN"):
        with open(ran, "a") as file:
            file.write(f"{n}\n")
    time.sleep(seconds)
    if fail == "value":
        raise ValueError(f"told to fail {n}")
    if fail == "unpicklable":
        raise TwoArgumentsError(n, "told to fail")
    content = Path(data.filename).read_bytes() if data else b""
    digest = hashlib.sha256(content).hexdigest()
    return {"n": n, "sha256": digest, "started": started}
