"""Kills servers behind nginx that share a PostgreSQL, and looks for what is lost.

    python -m benchmarks.front_ends --jobs 200 --kills 30 --restarts 3

Starts PostgreSQL, three `deepaas-run` and nginx on loopback. Clients start trainings
and predictions through nginx, each with an Idempotency-Key, and cancel some, while
servers are killed at random (each is started again) and PostgreSQL is restarted. Ends
with one table. The exit code is 1 if a job was lost, did not end, ended twice, or began
twice, if servers differ, or if anything is left over. Needs PostgreSQL, nginx and
`deepaas[postgresql]`.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.postgresql import PostgreSQL, find_programs
from tests.proxy import Nginx
from tests.server import free_port

MODEL = """
import os
import time
from webargs import fields
from deepaas import progress

def note(number, word):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{number} {word}\\n")

def get_train_args():
    return {"number": fields.Int(), "seconds": fields.Float()}

get_predict_args = get_train_args

def train(number, seconds):
    note(number, "begun")
    for step in range(5):
        print("step", step, "of", number)
        progress.report(step, 5, loss=1 / (step + 1))
        time.sleep(seconds / 5)
    note(number, "ended")
    return number

predict = train
"""

LOCATIONS = """
location / {
  proxy_pass http://front_ends;
  proxy_request_buffering on;  # what is sent to another server must be kept
  proxy_next_upstream error timeout http_503;
  proxy_connect_timeout 2s;
}
"""

SERVERS = 3
CLIENTS = 16
LEASE = 5
"""Seconds."""

KILL_INTERVAL = 2.5
"""Seconds between two kills: a server has just started again."""

CALL_TIMEOUT = 90.0
"""Seconds for which a client repeats one call."""

END_TIMEOUT = 90.0
"""Seconds from the last kill to the end of all jobs."""

CANCELLED_OF = 10
"""One of so many jobs is cancelled."""

ENDED = ("done", "error", "cancelled")


class FrontEnd:
    """A server that is started again after each kill, on the same port."""

    def __init__(self, folder: Path, number: int, url: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._command = [
            str(Path(sys.executable).parent / "deepaas-run"),
            *("--listen-ip=127.0.0.1", f"--listen-port={self.port}"),
            *(f"--model=m={folder / 'model.py'}", "--model-name=m", "--workers=2"),
            *("--train-workers=2", f"--state-dir={folder / str(number)}"),
            *(f"--database-url={url}", f"--server-lease={LEASE}"),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.processes: set[psutil.Process] = set()

    def start(self) -> None:
        environment = {
            "NOTES": str(self._folder / "notes"),
            "TMPDIR": str(self._folder / "tmp"),
            "HOME": str(self._folder),
            "PATH": "/usr/bin:/bin",
        }
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=environment, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Waits until it answers."""
        deadline = time.monotonic() + CALL_TIMEOUT
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.HTTPError):
                if ask("GET", f"{self.url}/v2/health/live").status_code == 200:
                    return
            time.sleep(0.05)
        raise SystemExit(f"no start:\n{(self._folder / 'log').read_text()[-3000:]}")

    def kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(self._process.pid).children(recursive=True)
            self.processes.update(children)
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            with contextlib.suppress(psutil.Error):
                children = psutil.Process(self._process.pid).children(recursive=True)
                self.processes.update(children)
            self._process.terminate()
            self._process.wait(30)


CLIENT = httpx.Client(trust_env=False, timeout=30)


def ask(method: str, url: str, **options: Any) -> httpx.Response:
    return CLIENT.request(
        method,
        url,
        headers={"Connection": "close"} | options.pop("headers", {}),
        **options,
    )


class Run:
    """The traffic, the kills and the results."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.random = random.Random(options.seed)
        self.jobs: dict[int, str] = {}
        """The path of each job, by its number."""
        self.ends: dict[str, Any] = {}
        """The first end of each job that was seen."""
        self.faults: list[str] = []
        self.began = time.monotonic()
        self.kills = self.restarts = 0
        self.repeated = 0
        """Requests that were sent again."""
        self.statuses: Counter[str] = Counter()
        self.over = threading.Event()

    def run(self) -> None:
        programs = find_programs()
        if programs is None:
            raise SystemExit("initdb is missing: apt-get install postgresql")
        self.postgresql = PostgreSQL(programs, safe=True)
        with contextlib.closing(self.postgresql), self.postgresql.database() as name:
            self.database = name
            url = self.postgresql.url(name)
            self.servers = [FrontEnd(self.folder, n, url) for n in range(SERVERS)]
            try:
                for server in self.servers:
                    server.start()
                for server in self.servers:
                    server.wait()
                with self.nginx() as self.url:
                    self.work()
                self.compare()
            finally:
                for server in self.servers:
                    server.stop()
            self.look_for_leftovers()

    @contextlib.contextmanager
    def nginx(self) -> Iterator[str]:
        servers = " ".join(
            f"server 127.0.0.1:{server.port} max_fails=0;" for server in self.servers
        )
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        upstreams = f"upstream front_ends {{ {servers} }}"
        nginx = Nginx(program, self.folder, LOCATIONS, upstreams)
        try:
            yield nginx.url
        finally:
            nginx.stop()

    def work(self) -> None:
        """Starts jobs while servers are killed, and waits for the ends of all."""
        with ThreadPoolExecutor(CLIENTS + 1) as threads:
            try:
                watcher = threads.submit(self.watch)
                calls = []
                for batch in self.batches():
                    calls += [threads.submit(self.start_job, each) for each in batch]
                    self.disturb()
                for call in calls:
                    call.result()
                self.wait_for_ends()
            finally:
                self.over.set()
            watcher.result()

    def batches(self) -> Iterator[range]:
        """Yields the numbers of the jobs that begin before each kill."""
        jobs, kills = self.options.jobs, self.options.kills
        for kill in range(kills):
            yield range(jobs * kill // kills, jobs * (kill + 1) // kills)

    def disturb(self) -> None:
        """Kills a server while jobs begin and run, and restarts PostgreSQL at times.

        Does nothing when the time for kills is over.
        """
        if time.monotonic() - self.began > self.options.seconds:
            return
        kills, restarts = self.options.kills, self.options.restarts
        began = time.monotonic()
        time.sleep(self.random.uniform(0, 1))
        if restarts and self.kills % (kills // restarts) == kills // restarts // 2:
            self.postgresql.restart()
            self.restarts += 1
        self.kills += 1
        server = self.random.choice(self.servers)
        server.kill()
        server.start()
        server.wait()
        time.sleep(max(0, KILL_INTERVAL - (time.monotonic() - began)))

    def start_job(self, number: int) -> None:
        chance = random.Random(number)
        method = chance.choice(("train", "predict"))
        params = {"number": number, "seconds": round(chance.uniform(0.02, 1), 3)}
        headers = {"Idempotency-Key": f"job-{number}", "Prefer": "respond-async"}
        path = f"/v2/models/m/{method}"
        job = self.insist("POST", path, params=params, headers=headers).json()
        self.jobs[number] = f"{path}/{job['uuid']}"
        if number % CANCELLED_OF == 0:
            status = self.insist("GET", self.jobs[number]).json()["status"]
            if status not in ENDED:  # else it would be removed
                with contextlib.suppress(httpx.HTTPError):
                    ask("DELETE", self.url + self.jobs[number])

    def insist(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Sends a request until it is answered."""
        deadline = time.monotonic() + CALL_TIMEOUT
        while True:
            answer = None
            with contextlib.suppress(httpx.HTTPError):
                answer = ask(method, self.url + path, **options)
                if answer.status_code < 500:
                    if answer.status_code >= 400:
                        self.faults.append(f"{method} {path}: {answer.text}")
                    return answer
                if answer.status_code == 500:
                    self.faults.append(f"{method} {path}: 500 {answer.text}")
            if time.monotonic() > deadline:
                raise SystemExit(f"{method} {path} has no answer, lastly {answer}")
            self.repeated += 1
            time.sleep(0.2)

    def watch(self) -> None:
        """Notes each end that a server shows; it must not change any more."""
        while not self.over.wait(0.2):
            with contextlib.suppress(httpx.HTTPError, ValueError):
                server = random.choice(self.servers)
                answer = ask("GET", f"{server.url}/v2/models/m/train")
                for job in answer.json() if answer.status_code == 200 else []:
                    self.note_end(job)

    def note_end(self, job: dict[str, Any]) -> None:
        if job["status"] in ENDED:
            first = self.ends.setdefault(job["uuid"], job)
            if first != job:
                self.faults.append(f"ended twice: {first} and {job}")

    def wait_for_ends(self) -> None:
        deadline = time.monotonic() + END_TIMEOUT
        waiting = dict(self.jobs)
        while waiting and time.monotonic() < deadline:
            for number, path in list(waiting.items()):
                if self.insist("GET", path).json().get("status") in ENDED:
                    del waiting[number]
            time.sleep(0.2)
        self.faults += [f"not ended: {path}" for path in waiting.values()]

    def compare(self) -> None:
        """Compares each job at all servers, and with what the model has noted."""
        notes = Counter((self.folder / "notes").read_text().splitlines())
        for number in range(self.options.jobs):
            path = self.jobs.get(number)
            if path is None:
                self.faults.append(f"never accepted: {number}")
                continue
            for each in ("", "/log", "/metrics"):
                seen = {ask("GET", s.url + path + each).text for s in self.servers}
                if len(seen) > 1:
                    self.faults.append(f"differs: {path}{each} {seen}")
            job = ask("GET", self.servers[0].url + path).json()
            self.note_end(job)
            status = job["status"]
            if "interrupted" in job.get("message", ""):
                status = "interrupted"
            self.statuses[status] += 1
            if notes[f"{number} begun"] > 1:
                self.faults.append(f"begun {notes[f'{number} begun']} times: {path}")
            if status == "done" and not notes[f"{number} ended"]:
                self.faults.append(f"done without its end: {path}")
            if status == "error":
                self.faults.append(f"failed: {job}")
        listed = [s.url + "/v2/models/m/train" for s in self.servers]
        if len({ask("GET", url).text for url in listed}) > 1:
            self.faults.append("the lists differ")

    def look_for_leftovers(self) -> None:
        count = "SELECT count(*) FROM"
        for what, statement in {
            "files": f"{count} files WHERE uuid NOT IN (SELECT uuid FROM jobs)",
            "drafts": f"{count} files WHERE part = 'draft'",
            "reports": f"{count} reports WHERE uuid NOT IN (SELECT uuid FROM jobs)",
            "open jobs": f"{count} jobs WHERE status IN ('queued', 'running')",
            "unknown jobs": f"{count} jobs",
        }.items():
            [[number]] = self.postgresql.execute(statement, self.database)
            if what == "unknown jobs":
                number -= len(self.jobs)
            if number:
                self.faults.append(f"left in the database: {number} {what}")
        processes = set().union(*(server.processes for server in self.servers))
        _, alive = psutil.wait_procs(processes, timeout=5)
        self.faults += [f"left: {process}" for process in alive]
        for number in range(SERVERS):
            outcomes = list((self.folder / str(number)).glob("[or]*/*"))
            outcomes += list((self.folder / str(number) / "copies").glob("*"))
            self.faults += [f"left: {path}" for path in outcomes]
        log = (self.folder / "log").read_text(errors="replace")
        for line in re.findall(r".* ERROR .*|Traceback.*", log):
            self.faults.append(f"in the log: {line}")

    def print_table(self, seconds: float) -> None:
        names = ("done", "cancelled", "interrupted", "error")
        counts = " | ".join(str(self.statuses[name]) for name in names)
        print(
            "| jobs | done | cancelled | interrupted | error | kills | restarts "
            "| requests sent again | faults | seconds |\n" + "|--:" * 10 + "|\n"
            f"| {len(self.jobs)} | {counts} | {self.kills} | {self.restarts} "
            f"| {self.repeated} | {len(self.faults)} | {seconds:.0f} |"
        )
        for fault in self.faults[:50]:
            print(fault[:1000])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--restarts", type=int, default=3, help="of PostgreSQL")
    parser.add_argument("--seconds", type=float, default=400, help="of kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # it leaves nothing behind
    with tempfile.TemporaryDirectory(prefix="front-ends-") as name:
        folder = Path(name)
        (folder / "model.py").write_text(MODEL)
        (folder / "tmp").mkdir()
        (folder / "notes").touch()
        run = Run(options, folder)
        began = time.monotonic()
        run.run()
        run.print_table(time.monotonic() - began)
    return int(bool(run.faults))


if __name__ == "__main__":
    sys.exit(main())
