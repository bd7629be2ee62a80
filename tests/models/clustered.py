"""Runs on a cluster: notes each call in a file, and does what a test asks for."""

import ctypes
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from webargs import fields

from deepaas import progress

ANY = ["application/json", "application/octet-stream"]


def get_predict_args():
    return {
        "n": fields.Int(load_default=0),
        "ran": fields.Str(load_default=""),
        "seconds": fields.Float(load_default=0.0),
        "how": fields.Str(load_default="echo"),
        "size": fields.Int(load_default=0),
        "file": fields.Field(type="file", location="form"),
        "files": fields.List(fields.Field(), type="file", location="form"),
        "accept": fields.Str(load_default=ANY[0], metadata={"enum": ANY}),
    }


def get_train_args():
    return {
        "seconds": fields.Float(load_default=0.0),
        "child": fields.Bool(load_default=False),
        "steps": fields.Int(load_default=0),
    }


def predict(n, ran, seconds, how, size, accept, file=None, files=()):
    print("running", n)
    if ran:
        with open(ran, "a") as noted:
            noted.write(f"{n}\n")
    if how == "stream":
        return stream(size, seconds)
    time.sleep(seconds)
    if how == "file":
        path = Path(ran + ".answer")
        path.write_bytes(b"a" * size)
        return path.open("rb")
    seen = [] if file is None else [file]
    return {
        "n": n,
        "pid": os.getpid(),
        "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "files": [describe(each) for each in [*seen, *files]],
    }


def describe(file):
    digest, size = hashlib.sha256(), 0
    with open(file.filename, "rb") as content:
        while piece := content.read(2**20):
            digest.update(piece)
            size += len(piece)
    return [
        file.original_filename,
        Path(file.filename).suffix,
        size,
        digest.hexdigest(),
    ]


def stream(pieces, seconds):
    for _ in range(pieces):
        yield b"x" * 2**20
    time.sleep(seconds)


def train(seconds, child, steps):
    print("training in", os.getpid())
    if child:
        command = [sys.executable, "-c", "import time; time.sleep(99)"]
        print("child", subprocess.Popen(command).pid)
        print("stray", subprocess.Popen(command, start_new_session=True).pid)
    for step in range(steps):
        progress.report(step + 1, steps, loss=0.5)
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))  # holds the interpreter's lock
    return {"pid": os.getpid()}
