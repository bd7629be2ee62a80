"""Measures lists of jobs by the number of jobs, and reports of progress.

    python benchmarks/job_list.py

Fills one store with 50 ended jobs and one with 10,000, starts a server on each, and
asks both in turn for the newest 50. Then times a million calls of progress.report.
"""

import argparse
import contextlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path

from deepaas import progress
from deepaas.encoding import JSONText
from deepaas.jobs.records import Job, Kind, Status
from deepaas.jobs.store import SQLRecords

MODEL = "def train(): pass\n"


def fill(folder: Path, count: int) -> None:
    folder.mkdir()
    records = SQLRecords.in_folder(folder)
    for number in range(count):
        records.insert(
            Job(
                uuid=uuid.uuid4().hex,
                kind=Kind.TRAIN,
                model="m",
                date="2026-11-24T12:00:00.000+00:00",
                args={"epochs": 30, "learning_rate": 0.005},
                status=Status.DONE,
                output=JSONText(f'{{"accuracy": 0.9, "number": {number}}}'),
                finish_date="2026-11-24T12:01:00.000+00:00",
                duration=60.0,
            )
        )
    records.close()


@contextlib.contextmanager
def server(folder: Path, model: Path):
    command = [
        *(Path(sys.executable).parent / "deepaas-run", "--listen-port", "0"),
        *("--model", f"m={model}", "--model-name", "m", "--state-dir", folder),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        found = None
        while found is None:
            found = re.search(r"http://\S+/v2/models/", process.stdout.readline())
        yield f"{found[0]}m/train/?limit=50"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        process.stdout.close()


def seconds(url: str) -> float:
    began = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        answer.read()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        model = Path(folder, "m.py")
        model.write_text(MODEL)
        urls = {}
        for count in (50, options.many):
            state = Path(folder, str(count))
            fill(state, count)
            urls[count] = stack.enter_context(server(state, model))
        times = {count: [] for count in urls}
        for _ in range(options.rounds):
            for count, url in urls.items():
                times[count].append(seconds(url))
    few, many = (statistics.median(values) * 1000 for values in times.values())
    print("| jobs | list of 50, median ms | ratio |\n|---|---|---|")
    print(f"| 50 | {few:.2f} | 1 |")
    print(f"| {options.many} | {many:.2f} | {many / few:.2f} |")
    batches = []
    with progress.recorded(batches.append):
        began = time.perf_counter()
        for step in range(1_000_000):
            progress.report(step, 1_000_000, loss=0.5, accuracy=0.5)
        took = time.perf_counter() - began
    assert batches[-1].latest.step == 999_999
    print(f"\nA million reports of progress: {took:.2f} s, {len(batches)} messages.")


if __name__ == "__main__":
    main()
