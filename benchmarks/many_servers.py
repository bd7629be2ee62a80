"""Measures the limit of one server process, and of several servers behind nginx.

    python -m benchmarks.many_servers --seconds 3

First, one server has a core of its own, while its worker and the client have another
one: its rate is what one server process can answer on a machine with any number of
cores. Then one server, and as many as `--servers`, answer behind nginx on all cores,
each with one worker and all on one PostgreSQL. Prints one table, with the processor
time that each kind of process needs for a call. Needs wrk, nginx, PostgreSQL and
`deepaas[postgresql]`, and a machine that does nothing else meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import load
from benchmarks.environments import MODELS, OURS
from benchmarks.running import Running, running
from benchmarks.servers import HOST, Deepaas, Start, free_port
from benchmarks.workloads import WORKLOADS, Workload
from tests.postgresql import PostgreSQL, find_programs

BINARIES = Path(sys.executable).parent

NGINX = """
daemon off;
worker_processes {processes};
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream servers {{
    {servers}
    keepalive 64;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://servers;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_buffering off;
    }}
  }}
}}
"""

Kinds = dict[str, list[psutil.Process]]
"""The measured processes, by what they are."""


@dataclass(frozen=True)
class Sharing(Deepaas):
    """The checkout, on a database if its options name one."""

    def command(self, start: Start) -> list[str]:
        model = MODELS / "deepaas_benchmark" / f"{start.workload}.py"
        state = f"--state-dir={start.folder / 'state'}"
        return [*super().command(start), f"--model={start.workload}={model}", state]

    def variables(self, start: Start) -> dict[str, str]:
        return {"PYTHONPATH": str(MODELS)}


@dataclass(frozen=True)
class Row:
    """The medians of one arrangement."""

    name: str
    rate: float
    p99: float
    costs: dict[str, float]
    """Processor time for a call in microseconds, by kind of process."""
    busiest: str
    """The kind of the busiest process, and the share of a core that it used."""


def seconds_of(processes: Sequence[psutil.Process]) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]


def measure(
    name: str, url: str, kinds: Kinds, here: Running, options: argparse.Namespace
) -> Row:
    rates, p99s, shares = [], [], []
    costs: dict[str, list[float]] = defaultdict(list)
    media_type = here.request.content_type
    load.put(url, here.body, media_type, options.clients, 1)
    for _ in range(options.rounds):
        before = {kind: seconds_of(some) for kind, some in kinds.items()}
        seen = load.put(url, here.body, media_type, options.clients, options.seconds)
        if seen.wrong or seen.lost:
            raise SystemExit(f"{name}: {seen}")
        rates.append(seen.calls / seen.seconds)
        p99s.append(seen.p99)
        for kind, some in kinds.items():
            pairs = zip(before[kind], seconds_of(some), strict=True)
            used = [after - begun for begun, after in pairs]
            costs[kind].append(1e6 * sum(used) / seen.calls)
            shares.append((kind, max(used) / seen.seconds))
    medians = {kind: statistics.median(found) for kind, found in costs.items()}
    kind, share = max(shares, key=lambda pair: pair[1])
    rate, p99 = statistics.median(rates), statistics.median(p99s)
    return Row(name, rate, p99, medians, f"{kind}, {share:.0%} of a core")


@contextlib.contextmanager
def serving(workload: Workload, count: int, *options: str) -> Iterator[list[Running]]:
    """Serve a model by several servers."""
    server = Sharing("ours", OURS, options)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(running(server, workload, BINARIES))
            for _ in range(count)
        ]


@contextlib.contextmanager
def proxy(servers: Sequence[Running]) -> Iterator[tuple[str, list[psutil.Process]]]:
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        lines = "\n    ".join(f"server {HOST}:{one.port};" for one in servers)
        config = Path(name) / "nginx.conf"
        text = NGINX.format(
            folder=name, port=port, servers=lines, processes=os.cpu_count()
        )
        config.write_text(text)
        os.chmod(name, 0o755)  # nginx's own user reads it
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        process = subprocess.Popen([program, "-c", config, "-p", name])
        try:
            time.sleep(1)
            main = psutil.Process(process.pid)
            yield f"http://{HOST}:{port}", [main, *main.children()]
        finally:
            process.terminate()
            process.wait(10)


def kinds_of(servers: Sequence[Running]) -> Kinds:
    mains = [psutil.Process(server.pid) for server in servers]
    return {
        "server": mains,
        "worker": [child for main in mains for child in main.children()],
    }


def pinned(workload: Workload, options: argparse.Namespace) -> Row:
    """Measure one server that has the first core; all else has the second."""
    cores = os.sched_getaffinity(0)
    first, second, *_ = sorted(cores)
    with serving(workload, 1) as [server]:
        kinds = kinds_of([server])
        kinds["server"][0].cpu_affinity([first])
        for process in kinds["worker"]:
            process.cpu_affinity([second])
        os.sched_setaffinity(0, {second})  # wrk inherits it
        try:
            name = "one server, on a core of its own"
            return measure(name, server.url, kinds, server, options)
        finally:
            os.sched_setaffinity(0, cores)


def behind_nginx(
    workload: Workload, count: int, database: str, options: argparse.Namespace
) -> Row:
    with (
        serving(workload, count, "--database-url", database) as servers,
        proxy(servers) as (address, processes),
    ):
        kinds = {**kinds_of(servers), "nginx": processes}
        url = address + servers[0].request.path
        name = f"{count} behind nginx, all cores"
        return measure(name, url, kinds, servers[0], options)


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| | calls/s | p99 ms | server, µs a call | worker | nginx | busiest process |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        costs = (
            f"{row.costs[kind]:.0f}" if kind in row.costs else ""
            for kind in ("server", "worker", "nginx")
        )
        lines.append(
            f"| {row.name} | {row.rate:,.0f} | {row.p99:.1f} | {' | '.join(costs)} "
            f"| {row.busiest} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", choices=list(WORKLOADS), default="echo")
    parser.add_argument("--servers", type=int, default=os.cpu_count())
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    options = parser.parse_args()
    load.require()
    programs = find_programs()
    if programs is None:
        raise SystemExit("initdb is missing: apt-get install postgresql")
    workload = WORKLOADS[options.workload]
    rows = [pinned(workload, options)]
    with contextlib.closing(PostgreSQL(programs)) as postgresql:
        for count in dict.fromkeys((1, options.servers)):
            with postgresql.database() as name:
                url = postgresql.url(name)
                rows.append(behind_nginx(workload, count, url, options))
    print(f"{workload.name}, {options.clients} clients, {os.cpu_count()} cores\n")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
