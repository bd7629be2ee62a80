"""Prints the figures that a newcomer wants to know, and draws the chart beside them.

    python -m benchmarks.summary results.json --chart doc/images/speed.svg

Reads what `python -m benchmarks.compare --output results.json` has written. The chart
is an SVG: for each model, the calls that each server answers in a second with 16
clients, as a share of what a bare handler with one hop answers (the floor).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

OURS, BEFORE, FLOOR = "ours", "deepaas-2.6.0", "floor"

OTHERS = {"litserve": "LitServe", "mlserver": "MLServer", "bentoml": "BentoML"}

NAMES = {OURS: "deepaas", BEFORE: "DEEPaaS 2.6.0", **OTHERS}
"""The servers of the table and of the chart, in their order."""

COLOURS = {
    OURS: "#1f6feb",
    BEFORE: "#9a6700",
    "litserve": "#8250df",
    "mlserver": "#57606a",
    "bentoml": "#bc4c00",
}


class Figure(NamedTuple):
    """A row of the table."""

    text: str
    workload: str
    clients: int
    metric: str
    best: Callable[..., str]
    """`min` or `max`: what is best among the others."""


FIGURES = (
    Figure("time of a small call, one client, ms", "echo", 1, "p50", min),
    Figure("small calls a second, 16 clients", "echo", 16, "rate", max),
    Figure("uploads of 1 MiB a second, 16 clients", "upload", 16, "rate", max),
    Figure("memory when idle, MiB", "echo", 1, "idle", min),
    Figure("from the start to the first answer, s", "echo", 1, "start", min),
)

CHART_CLIENTS = 16
LEFT, WIDTH, BAR, GAP = 110, 520, 15, 22
"""Pixels: the names' column, the longest bar, a bar's height, between two models."""

Cells = Mapping[tuple[str, int, str], Mapping[str, float]]
"""The medians by workload, clients and server."""


def read(results: Mapping[str, Any]) -> Cells:
    return {
        (cell["workload"], cell["clients"], cell["server"]): cell["medians"]
        for cell in results["results"]
    }


def table(cells: Cells) -> str:
    """Return the figures as a markdown table; what was not measured stays empty."""
    rows = [
        "| | deepaas | DEEPaaS 2.6.0 | the best of the others |",
        "|---|--:|--:|--:|",
    ]
    for figure in FIGURES:

        def value(server: str, figure: Figure = figure) -> float | None:
            cell = cells.get((figure.workload, figure.clients, server))
            return None if cell is None else cell[figure.metric]

        found = {name: v for name in OTHERS if (v := value(name)) is not None}
        best = ""
        if found:
            name = figure.best(found, key=lambda one: found[one])
            best = f"{number(found[name])} ({OTHERS[name]})"
        ours, before = (number(value(server)) for server in (OURS, BEFORE))
        rows.append(f"| {figure.text} | {ours} | {before} | {best} |")
    return "\n".join(rows)


def number(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def chart(cells: Cells) -> str:
    """Return the chart as the text of an SVG."""
    lines: list[str] = []
    top = 24
    workloads = dict.fromkeys(workload for workload, _, _ in cells)
    for workload in workloads:
        lines += [f'<text class="model" x="0" y="{top + 12}">{escape(workload)}</text>']
        for server, share, rate in shares(cells, workload):
            top += BAR + 3
            lines += bar(server, share, rate, top)
        top += BAR + GAP
    marks = [
        f'<line x1="{x}" y1="8" x2="{x}" y2="{top - GAP}"/>'
        f'<text class="mark" x="{x}" y="{top - 4}">{percent} %</text>'
        for percent in (0, 25, 50, 75, 100)
        for x in [LEFT + WIDTH * percent // 100]
    ]
    height, width = top + 8, LEFT + WIDTH + 90
    title = f"Calls a second with {CHART_CLIENTS} clients, as a share of the floor"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="{title}">',
            f"<title>{title}</title>",
            "<style>text{font:12px sans-serif;fill:#57606a}.model{font-weight:bold}"
            ".mark{text-anchor:middle}.name{text-anchor:end}line{stroke:#d0d7de}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            *marks,
            *lines,
            "</svg>\n",
        ]
    )


def shares(cells: Cells, workload: str) -> Iterator[tuple[str, float, float]]:
    """Yield each server that was measured, its share of the floor, and its rate."""
    floor = cells.get((workload, CHART_CLIENTS, FLOOR))
    for server in NAMES:
        cell = cells.get((workload, CHART_CLIENTS, server))
        if floor is not None and cell is not None:
            yield server, cell["rate"] / floor["rate"], cell["rate"]


def bar(server: str, share: float, rate: float, top: int) -> list[str]:
    length = max(1, round(WIDTH * min(share, 1.08)))
    middle = top + BAR - 3
    return [
        f'<text class="name" x="{LEFT - 6}" y="{middle}">{NAMES[server]}</text>',
        f'<rect x="{LEFT}" y="{top}" width="{length}" height="{BAR}" '
        f'fill="{COLOURS[server]}"/>',
        f'<text x="{LEFT + length + 5}" y="{middle}">{number(rate)}</text>',
    ]


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--chart", type=Path, metavar="FILE")
    options = parser.parse_args()
    cells = read(json.loads(options.results.read_text()))
    print(table(cells))
    if options.chart:
        options.chart.write_text(chart(cells))


if __name__ == "__main__":
    main()
