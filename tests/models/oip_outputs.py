"""Returns values of the kind that the argument names."""

import dataclasses
import datetime
import io
import tempfile
from pathlib import Path

import numpy
from PIL import Image
from webargs import fields

from deepaas.model.v2.wrapper import ReturnedFile


@dataclasses.dataclass
class Box:
    label: str
    score: float


def _path():
    file = Path(tempfile.gettempdir()) / "answer.csv"
    file.write_text("a,b\n")
    return open(file, "rb")


def _random(kind):
    """Return numbers of any size, small and large ones too."""
    data = numpy.random.default_rng(7).bytes(32_000)
    numbers = numpy.frombuffer(data, kind)
    return numbers[numpy.isfinite(numbers)]


def _returned():
    file = Path(tempfile.gettempdir()) / "returned.bin"
    file.write_bytes(b"\0\xff")
    return ReturnedFile(
        filename=str(file), content_type="image/png", original_filename="x.png"
    )


KINDS = {
    "none": lambda: None,
    "bool": lambda: True,
    "int": lambda: 7,
    "huge": lambda: 2**70,
    "float": lambda: 0.5,
    "nan": lambda: float("nan"),
    "text": lambda: "grün",
    "surrogate": lambda: "\ud800",
    "bytes": lambda: b"\0\xff",
    "bytesio": lambda: io.BytesIO(b"abc"),
    "returned": _returned,
    "picture": lambda: Image.new("RGB", (2, 2)),
    "list": lambda: [1, 2, 3],
    "mixed": lambda: [1, 2.5],
    "texts": lambda: ["a", "b"],
    "nested": lambda: [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    "ragged": lambda: [[1], [2, 3]],
    "odd": lambda: [1, "a", None],
    "objects": lambda: [{"a": 1}, {"a": 2}],
    "empty": lambda: [],
    "set": lambda: {1},
    "date": lambda: datetime.date(2026, 1, 2),
    "dict": lambda: {"a": 1, "none": None, "b": [0.5, 1.5]},
    "keys": lambda: {1: "a"},
    "dataclass": lambda: Box("cat", 0.5),
    "array": lambda: numpy.arange(6, dtype=numpy.float32).reshape(2, 3),
    "scalar": lambda: numpy.float32(0.5),
    "int8": lambda: numpy.array([-1, 2], numpy.int8),
    "uint64": lambda: numpy.array([2**64 - 1], numpy.uint64),
    "half": lambda: numpy.array([1.5, numpy.inf], numpy.float16),
    "flags": lambda: numpy.array([True, False]),
    "strings": lambda: numpy.array(["a", "bc"]),
    "swapped": lambda: numpy.array([1, 2], ">i4"),
    "strided": lambda: numpy.arange(6)[::2],
    "complex": lambda: numpy.array([1j]).real.astype("datetime64[D]"),
    "scalars": lambda: [numpy.float32(0.5), numpy.float32(1.5)],
    "arrays": lambda: [numpy.zeros(2, numpy.int16), numpy.ones(2, numpy.int16)],
    "hollow": lambda: numpy.zeros((0, 3), numpy.float32),
    "unequal": lambda: [numpy.zeros(2), numpy.zeros(3)],
    "large": lambda: numpy.ones((1024, 1024), numpy.float32),
    "tenths": lambda: numpy.array([0.1, -0.0, 1e-45, 3.4028235e38], numpy.float32),
    "random half": lambda: _random(numpy.float16),
    "random single": lambda: _random(numpy.float32),
    "random double": lambda: _random(numpy.float64),
    "file": _path,
    "raises": lambda: 1 / 0,
    "generator": lambda: (one for one in "ab"),
}


def get_predict_args():
    return {"kind": fields.Str(required=True)}


def predict(kind):
    return KINDS[kind]()
