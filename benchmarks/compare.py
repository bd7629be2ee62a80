"""Compares the speed of deepaas with the floor and with other servers.

    python -m benchmarks.compare --output results.json

Makes an environment for each server, starts one server after the other on 127.0.0.1,
and ends with one table of medians and ratios. The exit code is 1 if a server could not
be measured, or a call was answered wrongly. It needs wrk and psutil, and a machine that
does nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import environments, load, report
from benchmarks.environments import BEFORE, CannotBuildError
from benchmarks.report import Run
from benchmarks.running import FailedError, running
from benchmarks.servers import SERVERS
from benchmarks.workloads import WORKLOADS

CACHE = Path("~/.cache/deepaas-benchmarks").expanduser()

WARM_UP_SECONDS = 1
"""Seconds of load before the first run that counts."""

RESTART_SECONDS = 8
"""Approximate seconds for start, warm-up and stop."""


class Comparison:
    """The requested runs and their results."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.binaries: dict[str, Path] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.runs: list[Run] = []
        self.problems: list[str] = []
        self.commit = commit()  # of what is installed now

    def make_environments(self) -> None:
        for name in dict.fromkeys(SERVERS[s].environment for s in self.options.servers):
            say(f"environment {name}")
            try:
                binaries = environments.make(
                    name, self.options.environments, self.options.before
                )
                self.versions[name] = environments.versions(binaries)
            except CannotBuildError as error:
                self.fail(f"the environment {name} cannot be made\n{error}")
            else:
                self.binaries[name] = binaries

    def measure(self) -> None:
        """Go through all servers in each round, in turn forwards and backwards."""
        chosen = [
            name
            for name in self.options.servers
            if SERVERS[name].environment in self.binaries
        ]
        for number in range(self.options.rounds):
            for workload in self.options.workloads:
                for server in chosen[:: -1 if number % 2 else 1]:
                    say(f"round {number + 1}, {workload}, {server}")
                    self.measure_one(server, workload, number)

    def measure_one(self, server: str, workload: str, number: int) -> None:
        chosen = SERVERS[server]
        binaries = self.binaries[chosen.environment]
        try:
            with running(chosen, WORKLOADS[workload], binaries) as here:
                time.sleep(0.5)  # what it does after its first answer ends
                idle = here.memory()
                here.put_load(max(self.options.clients), WARM_UP_SECONDS)
                for clients in self.options.clients:
                    here.wait()  # calls of the clients that left are still computed
                    before = here.cpu_seconds()
                    seen = here.put_load(clients, self.options.seconds)
                    cpu = here.cpu_seconds() - before
                    loaded = here.memory()
                    self.runs.append(
                        Run(
                            server=server,
                            workload=workload,
                            clients=clients,
                            round=number,
                            calls=seen.calls,
                            bad=seen.wrong + seen.lost,
                            rate=seen.calls / seen.seconds,
                            p50=seen.p50,
                            p99=seen.p99,
                            cpu=1000 * cpu / max(seen.calls, 1),
                            start=here.start_seconds,
                            idle=idle.pss,
                            idle_rss=idle.rss,
                            loaded=loaded.pss,
                            loaded_rss=loaded.rss,
                            processes=len(here.family()),
                        )
                    )
        except (FailedError, OSError, subprocess.SubprocessError) as error:
            self.fail(f"{server}, {workload}, round {number + 1}: {error}")

    def fail(self, problem: str) -> None:
        """Continue without this server. The results get the first line of `problem`."""
        say(problem)
        self.problems.append(problem.partition("\n")[0])

    def about(self) -> dict[str, Any]:
        return {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "wrk": load.version(),
            "commit": self.commit,
            "rounds": self.options.rounds,
            "seconds": self.options.seconds,
            "versions": self.versions,
            "problems": self.problems,
        }


def heading(about: dict[str, Any]) -> str:
    """Return the sentences above the table."""
    packages = ("deepaas", "litserve", "mlserver", "bentoml")
    served = [
        f"{package} {installed[package]}"
        for installed in about["versions"].values()
        for package in packages
        if package in installed
    ]
    return (
        f"{about['date'][:10]}, {about['cores']} cores, Python {about['python']}, wrk "
        f"{about['wrk']}; {', '.join(served)} (the checkout: {about['commit']}).\n"
        f"Medians of {about['rounds']} rounds of {about['seconds']} s, and ratios of "
        "medians. Memory is the PSS of all processes."
    )


def commit() -> str:
    """Return the commit that is measured, if git knows it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(
            command, cwd=environments.ROOT, capture_output=True, text=True, timeout=10
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read_options() -> argparse.Namespace:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.compare", description=__doc__.partition("\n")[0]
    )
    add = parser.add_argument
    for name, choices in (("servers", SERVERS), ("workloads", WORKLOADS)):
        every = list(choices)
        default = [choice for choice in every if choice != BEFORE]
        add(f"--{name}", nargs="+", choices=every, default=default, metavar="NAME")
        parser.epilog = f"{parser.epilog or ''}{name}: {', '.join(every)}. "
    add(
        "--before",
        type=Path,
        metavar="DIR",
        help=f"another checkout of deepaas: the server {BEFORE!r}",
    )
    add("--clients", nargs="+", type=int, default=[1, 16, 64], metavar="N")
    add("--rounds", type=int, default=3)
    add("--seconds", type=int, default=5, help="of each run")
    add("--environments", type=Path, default=CACHE, metavar="DIR")
    add("--output", type=Path, metavar="FILE", help="where to write all as JSON")
    options = parser.parse_args()
    if (BEFORE in options.servers) is not (options.before is not None):
        parser.error(f"--before DIR goes with --servers ... {BEFORE}")
    return options


def main() -> int:
    options = read_options()
    load.require()
    # Unwind on SIGTERM too, so that the server under test is stopped.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    comparison = Comparison(options)
    comparison.make_environments()
    starts = options.rounds * len(options.workloads) * len(options.servers)
    each = RESTART_SECONDS + len(options.clients) * options.seconds
    say(f"{starts} starts of {each} s each: about {starts * each // 60} minutes")
    comparison.measure()
    about = comparison.about()
    cells = report.summarise(comparison.runs)
    if cells:
        print(heading(about), report.table(cells), sep="\n\n")
    for problem in comparison.problems:
        print(f"\nNot measured: {problem}")
    if options.output:
        whole = report.document(about, comparison.runs, cells)
        options.output.write_text(json.dumps(whole, indent=1) + "\n")
    return int(bool(comparison.problems) or any(cell.bad for cell in cells))


if __name__ == "__main__":
    sys.exit(main())
