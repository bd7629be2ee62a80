"""Returns what it is asked to, of every type that an answer may have."""

import dataclasses
import datetime
import decimal
import enum
import gzip
import io
import random
import tempfile
import uuid
from pathlib import Path

import numpy as np
from webargs import fields

from deepaas.model.v2.wrapper import ReturnedFile

HERE = Path(__file__)
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    y: float


def positioned():
    stream = io.BytesIO(b"0123456789")
    stream.seek(4)
    return stream


def temporary(size, **options):
    file = tempfile.NamedTemporaryFile(suffix=".bin", **options)  # noqa: SIM115
    file.write(b"x" * size)
    file.seek(0)
    return file


def temporary_path(size):
    with temporary(size, delete=False) as file:
        return Path(file.name)


def reopened():
    return temporary_path(10).open("rb")


def in_folder():
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_text("gone")
        return (Path(folder) / "a.txt").open("rb")


def zipped():
    path = temporary_path(0)
    path.write_bytes(gzip.compress(b"inside"))
    return gzip.open(path)


VALUES = {
    "dict": lambda: {"a": [1, 2.5, None, True]},
    "str": lambda: "text",
    "surrogate": lambda: "half \ud800",
    "none": lambda: None,
    "number": lambda: 3,
    "array": lambda: np.arange(3),
    "scalar": lambda: np.float32(0.5),
    "numpy": lambda: {"f": np.float64(1), "i": np.int64(2), "b": np.bool_(True)},
    "matrix": lambda: {"m": np.ones((2, 2)).T[:, ::2], "o": np.array([1, "a"], "O")},
    "nan": lambda: {"a": float("nan"), "b": [float("inf")], "c": np.array([np.nan])},
    "dates": lambda: [WHEN, WHEN.date(), WHEN.time()],
    "odd": lambda: [uuid.UUID(int=1), decimal.Decimal("1.50"), Colour.RED, Point(1, 2)],
    "set": lambda: {"tuple": (1, 2), "set": {7}},
    "keys": lambda: {1: "a", np.int64(2): float("nan"), (3, 4): 2**70},
    "no form": lambda: {"a": [1, {"b": object()}]},
    "bytes": lambda: b"\x00\xff",
    "memoryview": lambda: memoryview(b"view"),
    "BytesIO": positioned,
    "StringIO": lambda: io.StringIO("caf\u00e9"),
    "open": lambda: HERE.open("rb"),
    "unbuffered": lambda: HERE.open("rb", buffering=0),
    "path": lambda: HERE,
    "returned": lambda: ReturnedFile(None, str(HERE), "text/x-python", "caf\u00e9.py"),
    "temporary": lambda: temporary(10),
    "kept": lambda: temporary(10, delete=False),
    "large": lambda: temporary(3_000_000),
    "large kept": lambda: temporary(3_000_000, delete=False),
    "large path": lambda: temporary_path(3_000_000),
    "large bytes": lambda: b"x" * 3_000_000,
    "huge bytes": lambda: random.Random(0).randbytes(100 * 2**20),
    "reopened": reopened,
    "in folder": in_folder,
    "zipped": zipped,
    "folder": lambda: HERE.parent,
    "missing": lambda: HERE.parent / "missing",
}


def get_predict_args():
    accept = fields.Str(location="headers", missing="application/json")
    return {"what": fields.Str(required=True), "accept": accept}


def predict(what, accept):
    return VALUES[what]()
