"""Compares a server whose jobs are in PostgreSQL with one whose jobs are in SQLite.

    python -m benchmarks.shared_jobs

Starts a server on SQLite, and two that share a PostgreSQL, on loopback. Each figure is
taken from all of them in turn, some rounds. Prints one table: accepted jobs a second,
the median time of a list of 50 with 10,000 jobs, the delay of an event from the model
to a reader (at the other server too), and predictions a second. Needs PostgreSQL and
`deepaas[postgresql]`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from deepaas.jobs.records import Job, Kind, Status
from deepaas.jobs.store import SQLRecords
from tests.postgresql import PostgreSQL, find_programs, server_version
from tests.server import Server

MODEL = """
import time
from webargs import fields
from deepaas import progress

def get_train_args():
    return {"steps": fields.Int(missing=0)}

def train(steps):
    for step in range(steps):
        progress.report(step, steps, sent=time.time())
        time.sleep(0.25)

def predict():
    return 1
"""

REPORT_RATE = 4
"""Reports a second, fewer than the worker would thin."""

CLIENTS = 8


def fill(url: str, count: int) -> None:
    """Stores ended jobs of another model, and 50 of this one."""
    with contextlib.closing(SQLRecords(url)) as records:
        for number in range(count):
            records.insert(
                Job(
                    uuid=uuid.uuid4().hex,
                    kind=Kind.TRAIN,
                    model="m",
                    date="2026-11-24T12:00:00.000+00:00",
                    args={"number": number},
                    status=Status.DONE,
                    finish_date="2026-11-24T12:01:00.000+00:00",
                    duration=60.0,
                )
            )


def rate(call: Callable[[], httpx.Response], seconds: float) -> float:
    """Returns how many calls a second several clients make."""
    until = time.monotonic() + seconds

    def client(_: int) -> int:
        calls = 0
        while time.monotonic() < until:
            call().raise_for_status()
            calls += 1
        return calls

    with ThreadPoolExecutor(CLIENTS) as threads:
        return sum(threads.map(client, range(CLIENTS))) / seconds


def delays(owner: Server, reader: Server, steps: int) -> list[float]:
    """Returns the milliseconds from each report to a reader of the events."""
    path = "/v2/models/m/train"
    job = owner.post(path, params={"steps": steps}).json()["uuid"]
    found, name = [], ""
    with reader.client.stream("GET", f"{path}/{job}/events") as answer:
        for line in answer.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data" and name == "progress":
                sent = json.loads(value)["metrics"]["sent"]
                found.append((time.time() - sent) * 1000)
    return found[1:]  # the first one waits for the connection


def percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]


class Measured:
    """A server, and where its events are read."""

    def __init__(self, server: Server, reader: Server) -> None:
        self.server = server
        self.reader = reader
        self.accepted: list[float] = []
        self.listed: list[float] = []
        self.delays: list[float] = []
        self.predicted: list[float] = []

    def take(self, options: argparse.Namespace) -> None:
        """Takes one round of all figures."""
        server, path = self.server, "/v2/models/m/predict"
        for _ in range(50):
            began = time.perf_counter()
            server.get("/v2/models/m/train/?limit=50").raise_for_status()
            self.listed.append((time.perf_counter() - began) * 1000)
        self.predicted.append(rate(lambda: server.post(path), options.seconds))
        headers = {"Prefer": "respond-async"}
        accept = rate(lambda: server.post(path, headers=headers), options.seconds)
        self.accepted.append(accept)
        self.delays += delays(server, self.reader, options.reports)

    def row(self, name: str) -> str:
        p99 = percentile(self.delays, 99)
        return (
            f"| {name} | {statistics.median(self.accepted):.0f} "
            f"| {statistics.median(self.listed):.2f} "
            f"| {statistics.median(self.delays):.1f} | {p99:.1f} "
            f"| {statistics.median(self.predicted):.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each load")
    parser.add_argument("--reports", type=int, default=40, help="of progress, a round")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    programs = find_programs()
    if programs is None:
        raise SystemExit("initdb is missing: apt-get install postgresql")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "m.py").write_text(MODEL)
        postgresql = stack.enter_context(
            contextlib.closing(PostgreSQL(programs, safe=True))
        )
        url = postgresql.url(stack.enter_context(postgresql.database()))
        (folder / "state").mkdir()
        sqlite = ("--state-dir", folder / "state")
        fill(f"sqlite:///{folder / 'state' / 'jobs.sqlite'}", options.jobs)
        fill(url, options.jobs)

        def serve(name: str, *where: str | Path) -> Server:
            model = f"m={folder / 'm.py'}"
            keep = ("--keep-jobs", "0", "--workers", "2")
            server = Server("--model", model, *keep, *where, directory=folder / name)
            stack.callback(server.close)
            return server

        alone = serve("a", *sqlite)
        one, other = (serve(name, "--database-url", url) for name in "bc")
        measured = {
            "SQLite": Measured(alone, alone),
            f"PostgreSQL {server_version(programs)}": Measured(one, one),
            "the same, events at the other server": Measured(one, other),
        }
        for _ in range(options.rounds):
            for each in measured.values():
                each.take(options)
    print(
        f"| jobs in | accepted jobs/s | list of 50 of {options.jobs}, ms "
        "| event p50, ms | p99, ms | predictions/s |\n|---|--:|--:|--:|--:|--:|"
    )
    for name, each in measured.items():
        print(each.row(name))


if __name__ == "__main__":
    main()
