"""The progress of a call on standard error: a bar on a terminal, lines elsewhere."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from deepaas.cli.output import say
from deepaas.executors import Began, Event
from deepaas.progress import Batch, Report

LINE_INTERVAL = 5.0
"""Seconds between two lines: they are for logs, which people read later."""


class Display(Protocol):
    """Shows the events of a call."""

    def handle_event(self, event: Event) -> None:
        """Show an event. Never raises."""


@contextlib.contextmanager
def shown_progress() -> Iterator[Display]:
    """Show progress while a call runs, in the way that standard error allows."""
    if sys.stderr.isatty():
        bar = Bar()
        # Lines of the log go above the bar.
        with logging_redirect_tqdm(), contextlib.closing(bar):
            yield bar
    else:
        lines = Lines()
        with contextlib.closing(lines):
            yield lines


class Bar:
    """A progress bar; it appears with the first report. Before that, a word or two."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._words: Any = None
        with contextlib.suppress(OSError):  # the terminal is gone
            self._words = tqdm(
                desc="warming …",
                bar_format="{desc}",
                leave=False,
                file=sys.stderr,
                **_size(),
            )

    def handle_event(self, event: Event) -> None:
        """Draw the progress of a report."""
        if isinstance(event, Began):
            self._remove_words()
        if isinstance(event, Batch):
            with contextlib.suppress(OSError):  # the terminal is gone
                self._draw(event.latest)

    def _draw(self, report: Report) -> None:
        step, total = _finite(report.step) or 0, _finite(report.total)
        if self._bar is None:
            self._bar = tqdm(
                total=total, initial=step, unit="step", file=sys.stderr, **_size()
            )
        self._bar.n, self._bar.total = step, total
        self._bar.set_postfix_str(", ".join(_metrics(report)), refresh=False)
        self._bar.refresh()

    def _remove_words(self) -> None:
        if self._words is not None:
            with contextlib.suppress(OSError):
                self._words.close()

    def close(self) -> None:
        """Remove the bar."""
        self._remove_words()
        if self._bar is not None:
            with contextlib.suppress(OSError):
                self._bar.close()


class Lines:
    """A line once in a while, and one for the last report."""

    def __init__(self) -> None:
        self._said = -LINE_INTERVAL
        self._unsaid: Report | None = None

    def handle_event(self, event: Event) -> None:
        """Write a report if the last line is old enough."""
        if not isinstance(event, Batch):
            return
        self._unsaid = event.latest
        if time.monotonic() - self._said >= LINE_INTERVAL:
            self._say()

    def close(self) -> None:
        """Write the last report if it was not written."""
        self._say()

    def _say(self) -> None:
        if self._unsaid is None:
            return
        report, self._unsaid = self._unsaid, None
        self._said = time.monotonic()
        of = "" if report.total is None else f" of {report.total:g}"
        step = "?" if report.step is None else f"{report.step:g}"
        say(", ".join([f"step {step}{of}", *_metrics(report)]))


def _size() -> dict[str, Any]:
    """Follow the size of the terminal, if it has one: that of a container may not."""
    if os.get_terminal_size(sys.stderr.fileno()).columns:
        return {"dynamic_ncols": True}
    return {"ncols": 80, "nrows": 24}


def _metrics(report: Report) -> list[str]:
    return [
        f"{name} {'?' if value is None else format(value, '.4g')}"
        for name, value in report.metrics.items()
    ]


def _finite(number: float | None) -> float | None:
    """Return what tqdm can count with."""
    return number if number is not None and 0 <= number < math.inf else None
