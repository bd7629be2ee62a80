"""PUBLIC: report() tells the progress of a training or a prediction.

A million reports must not slow down the model or the server: reports are
collected, and sent to the server a few times a second.
"""

import contextlib
import itertools
import logging
import numbers
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, SupportsFloat

__all__ = ["report"]

logger = logging.getLogger(__name__)

MAX_KEPT_REPORTS = 1000
"""Most reports in the history of a job. Over it, every second one is removed."""

BATCH_INTERVAL = 0.2
"""Seconds between two batches."""


class Report(NamedTuple):
    """One report."""

    number: int
    """The number of reports before it in this job."""
    time: float
    """Seconds since the epoch."""
    step: float | None
    total: float | None
    metrics: dict[str, float | None]


class Batch(NamedTuple):
    """The reports of a job since its last batch."""

    latest: Report
    history: list[Report]
    """Reports to add to the history, the latest among them or not."""
    stride: int
    """The history keeps the reports whose number is a multiple of it."""


def report(
    step: SupportsFloat,
    total: SupportsFloat | None = None,
    **metrics: SupportsFloat | None,
) -> None:
    """Report that `step` steps of `total` are done, and metrics by name.

    Steps have any unit: epochs, batches, files. Callable from any code of a model;
    outside a job it does nothing. It never fails: a value that is not a number is shown
    as null, with a warning in the log.
    """
    recorder = _recorder
    if recorder is not None:
        recorder.add(step, total, metrics)


class Recorder:
    """Collects the reports of one job, and hands them on in batches."""

    def __init__(self, send: Callable[[Batch], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._stride = 1
        self._latest: _Raw | None = None
        self._history: list[Report] = []
        self._sent = -BATCH_INTERVAL
        """When the last batch left, by the monotonic clock."""
        self._timer: threading.Timer | None = None
        """Runs while a report waits for its batch."""
        self._closed = False

    def add(self, step: Any, total: Any, metrics: dict[str, Any]) -> None:
        """Add a report, or drop it if a later one replaces it before the next batch."""
        # The path of nearly all of a million reports: no lock, no thread, no call.
        for name, value in metrics.items():
            if type(value) not in _lasting:
                metrics[name] = _as_now(value)
        if type(step) not in _lasting:
            step = _as_now(step)
        if type(total) not in _lasting:
            total = _as_now(total)
        number = next(self._numbers)
        self._latest = report = (number, time.time(), step, total, metrics)
        if self._timer is None or number % self._stride == 0:
            with self._lock:
                if not self._closed:
                    self._latest = report  # a batch may have left in between
                    self._keep(report)

    def close(self) -> None:
        """Send the waiting reports; later reports are ignored."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._flush()

    def _keep(self, report: "_Raw") -> None:
        """Add a report to the history if its number is due; send or plan a batch."""
        number = report[0]
        if number % self._stride == 0:
            self._history.append(_plain(report))
            if number // self._stride >= MAX_KEPT_REPORTS - 1:
                self._stride *= 2
        if self._timer is None:
            wait = self._sent + BATCH_INTERVAL - time.monotonic()
            if wait <= 0:
                self._flush()
            else:
                self._timer = threading.Timer(wait, self._late)
                self._timer.daemon = True
                self._timer.start()

    def _late(self) -> None:
        with self._lock:
            self._timer = None
            self._flush()

    def _flush(self) -> None:
        if self._latest is None:
            return
        history = [r for r in self._history if r.number % self._stride == 0]
        batch = Batch(_plain(self._latest), history, self._stride)
        self._latest, self._history = None, []
        self._sent = time.monotonic()
        with contextlib.suppress(
            OSError
        ):  # the server is gone, and this process ends too
            self._send(batch)


_recorder: Recorder | None = None
"""That of the job that runs in this process."""


@contextlib.contextmanager
def recorded(send: Callable[[Batch], None]) -> Iterator[None]:
    """Pass on the reports that are made meanwhile; at the end, those that wait."""
    global _recorder
    recorder = _recorder = Recorder(send)
    try:
        yield
    finally:
        _recorder = None
        recorder.close()


def forget() -> None:
    """Report nothing from this process: it is a child that a job has forked."""
    global _recorder
    _recorder = None


_Raw = tuple[int, float, Any, Any, dict[str, Any]]
"""A report as it came: a plain tuple is made faster than a named one."""

_lasting: set[type] = {type(None)}
"""Types whose values never change, so that they can be converted later."""


def _as_now(value: Any) -> Any:
    """Return a value that stays the same when the given one is changed."""
    if issubclass(
        type(value), numbers.Number
    ):  # numpy's scalars are, its arrays are not
        _lasting.add(type(value))
        return value
    return _number(value)


def _plain(raw: _Raw) -> Report:
    """Return a report of plain types: the server imports no other ones."""
    number, when, step, total, metrics = raw
    # A name may be of an author's class: class Metric(str, Enum).
    named = {str.__str__(name): _number(value) for name, value in metrics.items()}
    return Report(number, when, _number(step), _number(total), named)


def _number(value: Any) -> float | None:
    """Return a plain number for a number of any library."""
    if value is None or type(value) is float:
        return value
    if type(value) is int and abs(value) < 2**63:
        return value
    try:
        return float(value)
    except Exception:  # an author's class may raise anything
        logger.warning("progress.report: %.100r is not a number", value)
        return None
