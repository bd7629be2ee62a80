"""The requests of the clients, and the right answers."""

from __future__ import annotations

import hashlib
import json
import random
from dataclasses import dataclass
from typing import Any

JSON = "application/json"
BOUNDARY = "benchmark-benchmark-benchmark"
FILE = random.Random(8).randbytes(2**20)

# the first row of scikit-learn's load_breast_cancer(): malignant, class 0
ROW = [
    *(17.99, 10.38, 122.8, 1001.0, 0.1184, 0.2776, 0.3001, 0.1471, 0.2419, 0.07871),
    *(1.095, 0.9053, 8.589, 153.4, 0.006399, 0.04904, 0.05373, 0.01587, 0.03003),
    *(0.006193, 25.38, 17.33, 184.6, 2019.0, 0.1622, 0.6656, 0.7119, 0.2654, 0.4601),
    0.1189,
]


@dataclass(frozen=True)
class Request:
    """One request, sent again and again."""

    path: str
    content_type: str
    body: bytes


@dataclass(frozen=True)
class Workload:
    """A call of a model, the same for every server."""

    name: str
    argument: str
    value: Any
    """JSON, or the bytes of a file."""
    answer: str
    """The right answer, as text."""

    def request(self, path: str) -> Request:
        if not isinstance(self.value, bytes):
            return Request(path, JSON, json.dumps({self.argument: self.value}).encode())
        head = (
            f"--{BOUNDARY}\r\n"
            f'Content-Disposition: form-data; name="{self.argument}"; '
            'filename="random.bin"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + self.value + f"\r\n--{BOUNDARY}--\r\n".encode()
        return Request(path, f"multipart/form-data; boundary={BOUNDARY}", body)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("echo", "n", 7, "7"),
        Workload("tabular", "row", ROW, "0"),
        Workload("upload", "data", FILE, hashlib.sha256(FILE).hexdigest()),
        Workload("cpu", "n", 7, "7"),
    )
}
