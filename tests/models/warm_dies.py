"""Its process ends while it warms."""

import os


def warm():
    os._exit(7)


def predict():
    return "never"
