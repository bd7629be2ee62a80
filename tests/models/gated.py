"""Warms and trains when a file appears that lets it; cannot warm if another one is."""

import os
import time
from pathlib import Path

GATES = Path(os.environ["GATES"])


def wait_for(gate):
    while not (GATES / gate).exists():
        time.sleep(0.01)


def warm():
    if (GATES / "lost").exists():
        raise OSError("the weights are gone")
    wait_for("warm")


def predict():
    return os.getpid()


def train():
    (GATES / "training").touch()
    wait_for("trained")
    return os.getpid()
