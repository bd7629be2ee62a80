"""Runs wrk, the client, for a bounded time, and reads what it measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

WRK_SCRIPT = Path(__file__).parent / "wrk.lua"

WRK_IS_MISSING = """\
wrk, the client of this benchmark, is not installed.
On Debian: apt-get install wrk"""

ANSWER_TIMEOUT = 30
"""Seconds that wrk waits for one answer, and that the benchmark waits for wrk."""


@dataclass(frozen=True)
class Load:
    """The measurements of wrk in one run."""

    calls: int
    """Complete answers in time, with any status."""
    seconds: float
    p50: float
    """Latency in milliseconds, like `p99`."""
    p99: float
    wrong: int
    """Answers with a status of 400 or more."""
    lost: int
    """Connections refused or broken, and answers that did not come in time."""


def require() -> None:
    """Exit where wrk is not installed, saying how to get it."""
    if shutil.which("wrk") is None:
        sys.exit(WRK_IS_MISSING)


def version() -> str:
    # it prints its version with its usage, and exits with 1
    text = subprocess.run(["wrk", "-v"], capture_output=True, text=True).stdout
    return text.split()[1].removeprefix("debian/")


def put(
    url: str,
    body: Path,
    content_type: str,
    clients: int,
    seconds: int,
    headers: Mapping[str, str] | None = None,
) -> Load:
    """Keep `clients` connections busy with one request each."""
    more = [text for pair in (headers or {}).items() for text in pair]
    command = [
        *("wrk", "--threads=1", f"--connections={clients}", f"--duration={seconds}s"),
        *(f"--timeout={ANSWER_TIMEOUT}s", f"--script={WRK_SCRIPT}", url),
        *("--", str(body), content_type, *more),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=seconds + ANSWER_TIMEOUT,
        check=True,
    )
    return Load(**json.loads(done.stdout.splitlines()[-1]))
