"""Medians and ratios of the runs, as a markdown table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

BASES = ("floor", "deepaas-2.6.0")
"""The servers that all others are compared with."""

METRICS = {
    "rate": "calls/s",
    "p50": "median latency, ms",
    "p99": "99th percentile of the latency, ms",
    "cpu": "processor time of the server's processes for one call, ms",
    "start": "from the start to the first right answer, s",
    "idle": "PSS of all processes after that answer, MiB",
    "loaded": "PSS after the run, MiB",
}


@dataclass(frozen=True)
class Run:
    """One server under one workload with a number of clients, once."""

    server: str
    workload: str
    clients: int
    round: int
    calls: int
    bad: int
    """Calls with another status than 2xx, or without an answer."""
    rate: float
    p50: float
    p99: float
    cpu: float
    start: float
    idle: float
    idle_rss: float
    loaded: float
    loaded_rss: float
    processes: int


@dataclass(frozen=True)
class Cell:
    """The medians of all rounds, and their ratios to those of `BASES`."""

    server: str
    workload: str
    clients: int
    rounds: int
    bad: int
    """The sum over all rounds."""
    medians: dict[str, float]
    ratios: dict[str, dict[str, float]]


def summarise(runs: list[Run]) -> list[Cell]:
    """Return the cells by workload, clients and server, as they were first run."""
    workloads = list(dict.fromkeys(run.workload for run in runs))
    servers = list(dict.fromkeys(run.server for run in runs))
    groups: dict[tuple[str, int, str], list[Run]] = {}
    for run in sorted(
        runs,
        key=lambda r: (workloads.index(r.workload), r.clients, servers.index(r.server)),
    ):
        groups.setdefault((run.workload, run.clients, run.server), []).append(run)
    medians = {
        key: {name: median(getattr(run, name) for run in group) for name in METRICS}
        for key, group in groups.items()
    }
    cells = []
    for key, group in groups.items():
        workload, clients, server = key
        ratios = {}
        for base in BASES:
            if theirs := medians.get((workload, clients, base)):
                ratios[base] = {
                    name: medians[key][name] / theirs[name]
                    for name in METRICS
                    if theirs[name]
                }
        bad = sum(run.bad for run in group)
        cells.append(
            Cell(server, workload, clients, len(group), bad, medians[key], ratios)
        )
    return cells


# heading, metric, and the base of a ratio
COLUMNS = [
    ("calls/s", "rate", None),
    ("vs floor", "rate", "floor"),
    ("vs 2.6.0", "rate", "deepaas-2.6.0"),
    ("p50 ms", "p50", None),
    ("vs floor", "p50", "floor"),
    ("p99 ms", "p99", None),
    ("CPU ms/call", "cpu", None),
    ("start s", "start", None),
    ("vs 2.6.0", "start", "deepaas-2.6.0"),
    ("idle MiB", "idle", None),
    ("vs 2.6.0", "idle", "deepaas-2.6.0"),
    ("loaded MiB", "loaded", None),
]


def table(cells: list[Cell]) -> str:
    headings = ["workload", "clients", "server", *(c[0] for c in COLUMNS), "bad"]
    rows = [headings, ["---", "--:", "---", *["--:"] * (len(COLUMNS) + 1)]]
    for cell in cells:
        figures = [_figure(cell, metric, base) for _, metric, base in COLUMNS]
        bad = f"**{cell.bad}**" if cell.bad else "0"
        rows.append([cell.workload, str(cell.clients), cell.server, *figures, bad])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figure(cell: Cell, metric: str, base: str | None) -> str:
    if base is None:
        return _number(cell.medians[metric])
    ratio = cell.ratios.get(base, {}).get(metric)
    return "" if ratio is None else f"{ratio:.2f}"


def _number(value: float) -> str:
    """Format a number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def document(about: dict[str, Any], runs: list[Run], cells: list[Cell]) -> Any:
    """Return all results in a form for JSON."""
    return {
        **about,
        "metrics": METRICS,
        "results": [asdict(cell) for cell in cells],
        "runs": [asdict(run) for run in runs],
    }
