"""Answers with its GPU, and leaks memory if it is told to."""

import os

from webargs import fields

leaked = []


def get_predict_args():
    return {"mib": fields.Int(load_default=0), "n": fields.Int(load_default=0)}


def predict(mib, n):
    leaked.append(b"x" * (mib << 20))
    return {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "n": n, "pid": os.getpid()}
