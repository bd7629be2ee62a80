"""Warms the first time only: later workers fail to start."""

import os
from pathlib import Path

MARK = Path(os.environ["WARM_MARK"])


def warm():
    if MARK.exists():
        raise OSError("the weights are gone")
    MARK.touch()


def predict():
    os._exit(1)
