"""Compares servers of deep models with a bare loop, on a GPU where there is one.

    python -m benchmarks.deep --output results.json

Serves a vision transformer (pictures as PNG files in forms) and a text encoder (texts
in JSON) with random weights on 127.0.0.1, calls them from several processes that check
each answer, and prints three tables: rates, the time of the workers by part, and the
time of a call by part. The exit code is 1 if a server could not be measured, or was
wrong.

Makes an environment with PyTorch for this processor. With `--here`, uses the running
Python and its packages instead, on a machine that has PyTorch for its GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks import environments
from benchmarks.clients import Clients
from benchmarks.compare import CACHE, say
from benchmarks.environments import DEEP
from benchmarks.running import FailedError, Running, running
from benchmarks.servers import HOST
from benchmarks.servers.deep import PARTS, SERVERS, numbers, python
from benchmarks.workloads import Workload

LOOP = Path(__file__).parent / "deep_loop.py"
ARGUMENTS = {"pictures": "data", "texts": "text"}
"""The argument of each model."""

NAMES = ("decode", "transfer", "model")
"""The parts of a batch: decoding, copying to the device, running with copying back."""

ENVIRONMENT_OF_ALL = {
    # The server and its clients have the other cores, since a thread of PyTorch that
    # waits for a core holds up all threads of its computation.
    "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // 2)),
    # Else the main thread of a process gives the memory of each layer back to the
    # system, and takes it again: 10,000 page faults for a batch of 8 pictures.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(2**30),
}
"""Variables of the bare loop and of all servers, unless they are set."""

LOOP_TIMEOUT = 300
WARM_UP_SECONDS = 1.0


@dataclass
class Part:
    """One part of all batches of a run."""

    batches: int = 0
    inputs: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    """The seconds that the inputs waited for it, summed over all of them."""


@dataclass
class Run:
    """One server with a number of clients. Latencies are in milliseconds."""

    workload: str
    server: str
    clients: int
    rate: float
    bad: int = 0
    mean: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    seconds: float = 0.0
    """The length of the run."""
    parts: dict[str, Part] = field(default_factory=dict)
    queue: float = 0.0
    """Milliseconds of a call in the queue, by the metrics of deepaas."""
    worker: float = 0.0
    """Milliseconds of a call in the worker, by the metrics of deepaas."""
    busy: float = 0.0
    """The share of the run in which the server process of deepaas computed."""

    def share(self, part: str) -> float:
        """Return the share of the run that a worker spent with a part."""
        seconds = self.parts[part].seconds
        return seconds / self.seconds / SERVERS[self.server].workers

    def of_call(self, part: str) -> float:
        """Return the milliseconds that a call waited for a part of its batch."""
        found = self.parts[part]
        return 1000 * found.waited / max(found.inputs, 1)


@dataclass(frozen=True)
class Bare:
    """The results of the bare loop for a workload."""

    about: dict[str, Any]
    inputs: Sequence[Any]
    right: Sequence[Sequence[float]]
    tolerance: float
    rates: dict[str, float]
    parts: dict[str, Part]


def read_parts(lines: str) -> dict[str, Part]:
    parts = {name: Part() for name in NAMES}
    for name, size, seconds in map(str.split, lines.splitlines()):
        part = parts[name]
        part.batches += 1
        part.inputs += int(size)
        part.seconds += float(seconds)
        part.waited += int(size) * float(seconds)
    return parts


def run_loop(workload: str, binaries: Path, seconds: float) -> Bare:
    """Run the bare loop in the environment of the servers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found"
        parts = {"BENCHMARK_PARTS": str(Path(folder) / PARTS)}
        subprocess.run(
            [python(binaries), LOOP, workload, str(seconds), file],
            env=os.environ | parts,
            timeout=LOOP_TIMEOUT,
            check=True,
        )
        about, inputs, right, tolerance, rates, lines = pickle.loads(file.read_bytes())
    return Bare(about, inputs, right, tolerance, rates, read_parts(lines))


@dataclass(frozen=True)
class Check:
    """Tells right answers from wrong ones."""

    right: Sequence[Sequence[float]]
    tolerance: float

    def __call__(self, number: int, body: bytes) -> bool:
        found, right = numbers(body), self.right[number]
        return len(found) == len(right) and all(
            abs(a - b) < self.tolerance for a, b in zip(found, right, strict=True)
        )


class Comparison:
    """The requested runs and their results."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.bare: dict[str, Bare] = {}
        self.runs: list[Run] = []
        self.problems: list[str] = []

    def measure(self, binaries: Path) -> None:
        for workload in self.options.workloads:
            say(f"the bare loop, {workload}")
            try:
                bare = run_loop(workload, binaries, self.options.seconds)
            except (OSError, subprocess.SubprocessError) as error:
                self._fail(f"{workload}: {error}")
                continue
            self.bare[workload] = bare
            for server in self.options.servers:
                say(f"{workload}, {server}")
                try:
                    self._measure_server(workload, server, binaries)
                except (FailedError, OSError, subprocess.SubprocessError) as error:
                    self._fail(f"{workload}, {server}: {error}")

    def _fail(self, problem: str) -> None:
        """Continue without it. The results get the first line of `problem`."""
        say(problem)
        self.problems.append(problem.partition("\n")[0])

    def _measure_server(self, workload: str, server: str, binaries: Path) -> None:
        bare = self.bare[workload]
        calls = [
            Workload(workload, ARGUMENTS[workload], value, f"{len(right)} numbers")
            for value, right in zip(bare.inputs, bare.right, strict=True)
        ]
        with running(SERVERS[server], calls[0], binaries) as here:
            requests = [SERVERS[server].request(call) for call in calls]
            check = Check(bare.right, bare.tolerance)
            clients = Clients(here.port, requests, check)
            most = max(self.options.clients)
            clients.put_load(most, self.options.processes, WARM_UP_SECONDS)
            for count in self.options.clients:
                self.runs.append(self._put_load(here, clients, workload, server, count))

    def _put_load(
        self, here: Running, clients: Clients, workload: str, server: str, count: int
    ) -> Run:
        file = here.folder / PARTS
        offset = file.stat().st_size
        before = times(here) if server.startswith("ours") else {}
        seen = clients.put_load(count, self.options.processes, self.options.seconds)
        run = Run(
            workload,
            server,
            count,
            seen.rate,
            seen.bad,
            seen.mean(),
            seen.percentile(0.5),
            seen.percentile(0.99),
            seen.ended - seen.began,
            read_parts(file.read_bytes()[offset:].decode()),
        )
        if before:
            change = {name: now - before[name] for name, now in times(here).items()}
            run.queue = 1000 * change["queue"] / max(change["calls"], 1)
            run.worker = 1000 * change["run"] / max(change["calls"], 1)
            run.busy = change["busy"] / run.seconds
        return run


def times(here: Running) -> dict[str, float]:
    """Return the seconds in the queue and in the model, and the calls, of deepaas.

    `busy` are the seconds that the server process has computed.
    """
    address = f"http://{HOST}:{here.port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        text = answer.read().decode()
    used = psutil.Process(here.pid).cpu_times()
    found = re.findall(
        r"^deepaas_call_(\w+)_seconds_(sum|count){.*} (\S+)$", text, re.M
    )
    values = {(name, what): float(value) for name, what, value in found}
    return {
        "queue": values.get(("queue", "sum"), 0.0),
        "run": values.get(("run", "sum"), 0.0),
        "calls": values.get(("run", "count"), 0.0),
        "busy": used.user + used.system,
    }


# Tables


def heading(comparison: Comparison) -> str:
    bare = comparison.bare.values()
    about = next(iter(bare)).about
    noticed = min(one.about["noticed"] for one in bare)
    return (
        f"{about['device']}, {about['cores']} cores, Python {about['python']}, torch "
        f"{about['torch']}, PNG decoded by {about['decoder']}; the size is "
        f"{about['size']}, a batch has up to {about['batch']} inputs. Of two answers "
        f"that were mistaken for each other, {100 * noticed:.0f} % would be noticed."
    )


def report(comparison: Comparison) -> str:
    parts = [
        heading(comparison),
        rate_table(comparison),
        "The time of a worker, in percent:",
        worker_table(comparison),
        "The time of a call of ours, in milliseconds:",
        call_table(comparison),
    ]
    return "\n\n".join(parts)


def rate_table(comparison: Comparison) -> str:
    titles = ["calls/s", "vs bare", "p50 ms", "p99 ms", "in a batch", "bad"]
    rows = [["model", "server", "clients", *titles]]
    for workload, bare in comparison.bare.items():
        best = bare.rates["batches"]
        for name, rate in bare.rates.items():
            row = [workload, f"bare loop, {name}", "", _number(rate)]
            rows.append([*row, f"{rate / best:.2f}", "", "", "", ""])
        for run in comparison.runs:
            if run.workload == workload:
                row = [workload, run.server, str(run.clients), _number(run.rate)]
                row += [f"{run.rate / best:.2f}", _number(run.p50), _number(run.p99)]
                row += [_mean_batch(run), f"**{run.bad}**" if run.bad else "0"]
                rows.append(row)
    return _table(rows, left=2)


def worker_table(comparison: Comparison) -> str:
    """Return how each worker spends its time, in percent."""
    rows = [["model", "server", "clients", *NAMES, "between batches"]]
    for run in comparison.runs:
        shares = [run.share(part) for part in NAMES]
        cells = [f"{100 * share:.1f}" for share in [*shares, 1 - sum(shares)]]
        rows.append([run.workload, run.server, str(run.clients), *cells])
    return _table(rows, left=2)


def call_table(comparison: Comparison) -> str:
    """Return how a call of ours spends its time, in milliseconds."""
    titles = ["latency", "HTTP", "queue", *NAMES, "worker's rest", "not the model's"]
    rows = [["model", "server", "clients", *titles, "server busy"]]
    for run in comparison.runs:
        if not run.worker:
            continue
        parts = [run.of_call(part) for part in NAMES]
        http = run.mean - run.queue - run.worker
        cells = [run.mean, http, run.queue, *parts, run.worker - sum(parts)]
        shares = [1 - run.of_call("model") / run.mean, run.busy]
        figures = [*map(_number, cells), *(f"{100 * share:.0f} %" for share in shares)]
        rows.append([run.workload, run.server, str(run.clients), *figures])
    return _table(rows, left=2)


def _mean_batch(run: Run) -> str:
    part = run.parts["model"]
    return f"{part.inputs / max(part.batches, 1):.1f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(rows: Iterable[Sequence[str]], left: int) -> str:
    head, *rest = rows
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rest])


def read_options() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.deep", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    servers = [name for name in SERVERS if not name.endswith("-2")]
    for name, choices, default in (
        ("servers", SERVERS, servers),
        ("workloads", ARGUMENTS, list(ARGUMENTS)),
    ):
        add(f"--{name}", nargs="+", choices=choices, default=default, metavar="NAME")
        parser.epilog = f"{parser.epilog or ''}{name}: {', '.join(choices)}. "
    add("--clients", nargs="+", type=int, default=[1, 16, 64], metavar="N")
    add("--processes", type=int, default=4, help="of the clients, at most")
    add("--seconds", type=float, default=4.0, help="of each run")
    add("--size", choices=("small", "base", "large"), help="base on a GPU, else small")
    add("--batch", type=int, help="inputs at once: 32 on a GPU, else 8")
    add("--here", action="store_true", help="use the packages of the running Python")
    add("--environments", type=Path, default=CACHE, metavar="DIR")
    add("--output", type=Path, metavar="FILE", help="where to write all as JSON")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    # Unwind on SIGTERM too, so that the server under test is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for name, value in ENVIRONMENT_OF_ALL.items():
        os.environ.setdefault(name, value)
    for name in ("size", "batch"):
        if value := getattr(options, name):
            os.environ[f"BENCHMARK_{name.upper()}"] = str(value)
    if options.here:
        binaries = Path(sys.executable).parent
    else:
        binaries = environments.make(DEEP, options.environments)
    comparison = Comparison(options)
    comparison.measure(binaries)
    if comparison.bare:
        print(report(comparison))
    for problem in comparison.problems:
        print(f"\nNot measured: {problem}")
    if options.output:
        whole = {
            "about": {name: bare.about for name, bare in comparison.bare.items()},
            "bare": {name: bare.rates for name, bare in comparison.bare.items()},
            "runs": [asdict(run) for run in comparison.runs],
            "problems": comparison.problems,
        }
        options.output.write_text(json.dumps(whole, indent=1) + "\n")
    return int(bool(comparison.problems) or any(run.bad for run in comparison.runs))


if __name__ == "__main__":
    sys.exit(main())
