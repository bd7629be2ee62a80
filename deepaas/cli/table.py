"""Tables for a terminal."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MAX_VALUE_CHARS = 200
"""Characters of a value that a table shows."""


def write_table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts in columns, each as wide as its widest text."""
    columns = zip(*rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines) + "\n"


def describe_job(job: Mapping[str, Any]) -> str:
    """Return a job as a table."""
    return write_table([(name, _text(value)) for name, value in _facts(job)])


def _facts(job: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("uuid", "model", "status", "message", "date"):
        if name in job:
            yield name, job[name]
    result = job.get("result", {})
    if "duration" in result:
        yield "duration", f"{result['duration']:.1f} s"
    for name, value in job["args"].items():
        yield f"--{name}", value
    if progress := job.get("progress"):
        of = f" of {progress['total']}" if "total" in progress else ""
        yield "step", f"{progress['step']}{of}"
        yield from progress.get("metrics", {}).items()
    if "output" in result:
        yield "output", result["output"]


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    if len(text) > MAX_VALUE_CHARS:
        return f"{text[:MAX_VALUE_CHARS]} …"
    return text
