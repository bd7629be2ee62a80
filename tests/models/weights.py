"""Arguments that list files, by classes of marshmallow's only."""

import os
from pathlib import Path

from marshmallow import fields, validate

STATE = Path(os.environ.get("WEIGHTS_STATE", "/nowhere"))
with open(STATE / "pids" if STATE.exists() else os.devnull, "a") as pids:
    print(os.getpid(), file=pids)

# As many modules have it: read once, at the import.
FOUND = sorted(path.stem for path in STATE.glob("*.weights"))


def get_predict_args():
    return {"weights": fields.Str(required=True, validate=validate.OneOf(FOUND))}


def predict(weights):
    return weights


def get_train_args():
    return {"name": fields.Str(required=True), "remove": fields.Str(load_default="")}


def train(name, remove):
    if remove:
        (STATE / f"{remove}.weights").unlink()
    (STATE / f"{name}.weights").write_text("")
