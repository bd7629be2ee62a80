"""The computations of the models: the same code on every server."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

BUSY = 0.02
"""Seconds of processor time that one call of `cpu` takes."""


def load_echo() -> Callable[[int], int]:
    return lambda n: n


def load_tabular() -> Callable[[list[float]], int]:
    """Fit a forest that tells malignant (0) from benign (1) by 30 measurements."""
    # here, not above: a server that serves something else has no need of them
    from sklearn.datasets import load_breast_cancer
    from sklearn.ensemble import RandomForestClassifier

    cells = load_breast_cancer()
    # 8 trees take about 1 ms for one row
    forest = RandomForestClassifier(n_estimators=8, random_state=0)
    forest.fit(cells.data, cells.target)
    return lambda row: int(forest.predict([row])[0])


def load_upload() -> Callable[[bytes], str]:
    return lambda content: hashlib.sha256(content).hexdigest()


def load_cpu() -> Callable[[int], int]:
    return busy


def busy(n: int) -> int:
    """Return `n` after a time that the thread itself has used, not waited."""
    until = time.thread_time() + BUSY
    while time.thread_time() < until:
        pass
    return n


LOADERS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "echo": load_echo,
    "tabular": load_tabular,
    "upload": load_upload,
    "cpu": load_cpu,
}
