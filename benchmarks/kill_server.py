"""Kills the server at random moments, and finds jobs that are lost or changed.

    python benchmarks/kill_server.py --kills 100

Each round starts `deepaas-run` on the same state directory, checks what it has kept,
starts trainings (short ones, and one that does not end), and kills the server with
SIGKILL. Ends with one table; the exit code is 1 if anything was lost.
"""

import argparse
import contextlib
import json
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

MODEL = """
import time
from webargs import fields
from deepaas import progress

def get_train_args():
    return {"lines": fields.Int(), "steps": fields.Int(), "seconds": fields.Float()}

def train(lines, steps, seconds):
    for line in range(lines):
        print("line", line)
    for step in range(steps):
        progress.report(step, steps, loss=1 / (step + 1))
        time.sleep(seconds)
    return lines
"""

SHORT_TRAINING = {"lines": 10, "steps": 3, "seconds": 0.01}
LONG_TRAINING = {"lines": 10_000, "steps": 10_000, "seconds": 0.01}
UNFINISHED = ("queued", "running")
START_TIMEOUT = 60.0
"""Seconds for one start."""


class Run:
    """The rounds and their results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.model = folder / "model.py"
        self.model.write_text(MODEL)
        self.known: dict[str, dict] = {}
        """Every job that the server has accepted, as it was last seen."""
        self.interrupted = 0
        self.faults: list[str] = []

    def round(self, seconds: float) -> None:
        with self.server() as url:
            self.check(url)
            until = time.monotonic() + seconds
            with contextlib.suppress(urllib.error.URLError, ConnectionError):
                self.start(url, SHORT_TRAINING)
                self.start(url, LONG_TRAINING)
                self.start(url, SHORT_TRAINING)
                while time.monotonic() < until:
                    self.look(url)
        self.check_database()

    @contextlib.contextmanager
    def server(self):
        command = [
            *(Path(sys.executable).parent / "deepaas-run", "--listen-port", "0"),
            *("--model", f"m={self.model}", "--model-name", "m"),
            *("--workers", "2", "--train-workers", "2", "--state-dir", self.state),
        ]
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        try:
            yield self.address(process)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process.stdout.close()

    def address(self, process: subprocess.Popen) -> str:
        for line in process.stdout:
            if found := re.search(rb"http://\S+/v2/models/", line):
                return found[0].decode() + "m/train"
        raise SystemExit(f"no start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def start(self, url: str, args: dict) -> None:
        job = ask(f"{url}?" + "&".join(f"{k}={v}" for k, v in args.items()), b"")
        self.known[job["uuid"]] = job

    def look(self, url: str) -> None:
        """Record the state of the jobs."""
        for job in ask(f"{url}?limit=10"):
            self.known[job["uuid"]] = job

    def check(self, url: str) -> None:
        """Compare the stored jobs with their state before the kill."""
        kept = {job["uuid"]: job for job in ask(url)}
        for uuid, before in self.known.items():
            now = kept.get(uuid)
            if now is None:
                self.faults.append(f"lost: {before}")
            elif now["status"] in UNFINISHED:
                self.faults.append(f"left {now['status']}: {now}")
            elif before["status"] not in UNFINISHED:
                if now != before:
                    self.faults.append(f"changed: {before} to {now}")
            elif now["status"] == "error":
                self.interrupted += 1
                if "interrupted" not in now.get("message", ""):
                    self.faults.append(f"without its reason: {now}")
                if step(now) < step(before) - 50:  # half a second
                    self.faults.append(f"progress lost: {step(before)} to {step(now)}")
        self.known = kept

    def check_database(self) -> None:
        # Read a copy: opening the database itself would recover it.
        with tempfile.TemporaryDirectory() as folder:
            for file in self.state.glob("jobs.sqlite*"):
                (Path(folder) / file.name).write_bytes(file.read_bytes())
            with contextlib.closing(sqlite3.connect(f"{folder}/jobs.sqlite")) as base:
                [[verdict]] = base.execute("PRAGMA integrity_check")
        if verdict != "ok":
            self.faults.append(f"the database: {verdict}")


def step(job: dict) -> int:
    return job.get("progress", {}).get("step", -1)


def ask(url: str, body: bytes | None = None):
    with urllib.request.urlopen(url, body, timeout=START_TIMEOUT) as answer:
        return json.load(answer)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        for _ in range(options.kills):
            run.round(chance.uniform(0, 1.5))
        with run.server() as url:
            run.check(url)
        print("| kills | jobs | interrupted | done | faults |")
        print("|---|---|---|---|---|")
        done = sum(job["status"] == "done" for job in run.known.values())
        counts = options.kills, len(run.known), run.interrupted, done, len(run.faults)
        print("|", " | ".join(map(str, counts)), "|")
        for fault in run.faults[:20]:
            print(fault[:300])
        sys.exit(bool(run.faults))


if __name__ == "__main__":
    main()
