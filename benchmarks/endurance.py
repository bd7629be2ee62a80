"""Does the server grow with the calls it has answered, and is it fair to many callers?

    python -m benchmarks.endurance

Serves a trivial model with one worker, and prints the memory of all its processes after
10,000 and after 100,000 calls; then how long the slowest of 256 clients wait, beside
what they would if each got its turn, and the same of the floor: medians of some rounds.
They cannot be more even than the machine is, so first it says how fast an empty loop
runs in each tenth of a second. Needs wrk, as benchmarks.compare does. The exit code is
1 if a bound of ours is broken.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import mean, median

from benchmarks import compare, environments, load
from benchmarks.load import Load
from benchmarks.running import Running, running
from benchmarks.servers import SERVERS
from benchmarks.workloads import WORKLOADS

FEW_CALLS, MANY_CALLS = 10_000, 100_000
"""Numbers of calls after which memory is compared."""

MAX_MEMORY_RATIO = 1.05
"""Limit of the memory after `MANY_CALLS`, to that after `FEW_CALLS`."""

CLIENTS = 256
"""Number of concurrent clients."""

MAX_WAIT_RATIO = 1.3
"""Limit of the 99th percentile of the wait, to clients divided by rate."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of the 256 clients")
    parser.add_argument("--seconds", type=int, default=5, help="of each round")
    options = parser.parse_args()
    load.require()
    binaries = environments.make(environments.OURS, compare.CACHE)
    slow, fast = _paces()
    print(f"An empty loop: {slow:.2f} to {fast:.2f} of its mean speed.\n")
    with running(SERVERS["ours"], WORKLOADS["echo"], binaries) as server:
        early = _memory_after(server, FEW_CALLS)
        late = _memory_after(server, MANY_CALLS - FEW_CALLS)
    seen: dict[str, list[Load]] = {"ours": [], "floor": []}
    for _ in range(options.rounds):
        for name, loads in seen.items():
            loads.append(_crowd(name, binaries, options.seconds))
    growth = late / early
    print(f"| MiB after {FEW_CALLS:,} | after {MANY_CALLS:,} | ratio |\n|--:|--:|--:|")
    print(f"| {early:.1f} | {late:.1f} | {growth:.3f} |\n")
    print(
        f"| {CLIENTS} clients | calls/s | p99 ms | to clients / rate | of all | bad |"
    )
    print("|---|--:|--:|--:|--:|--:|")
    ratios = {
        name: [_unfairness(each) for each in loads] for name, loads in seen.items()
    }
    for name, loads in seen.items():
        rate = median(each.calls / each.seconds for each in loads)
        slowest = median(each.p99 for each in loads)
        least, middle, most = (f(ratios[name]) for f in (min, median, max))
        print(
            f"| {name} | {rate:,.0f} | {slowest:.1f} | {middle:.2f} "
            f"| {least:.2f} to {most:.2f} | {_bad(loads)} |"
        )
    unfair = median(ratios["ours"]) > MAX_WAIT_RATIO
    return int(growth > MAX_MEMORY_RATIO or unfair or _bad(seen["ours"]) > 0)


def _unfairness(seen: Load) -> float:
    """Return the 99th percentile of the wait, to the wait of strictly equal turns."""
    return seen.p99 / (1000 * CLIENTS * seen.seconds / seen.calls)


def _bad(loads: list[Load]) -> int:
    return sum(each.wrong + each.lost for each in loads)


def _crowd(name: str, binaries: Path, seconds: int) -> Load:
    """Serve many clients, after a second of warm-up."""
    with running(SERVERS[name], WORKLOADS["echo"], binaries) as server:
        server.put_load(CLIENTS, 1)
        return server.put_load(CLIENTS, seconds)


def _paces() -> tuple[float, float]:
    """Return the least and the highest speed of a tenth of a second, to the mean."""
    counts = []
    for _ in range(40):
        end = time.perf_counter() + 0.1
        count = 0
        while time.perf_counter() < end:
            count += 1
        counts.append(count)
    return min(counts) / mean(counts), max(counts) / mean(counts)


def _memory_after(server: Running, calls: int) -> float:
    """Make at least this number of calls; return the memory of all processes in MiB."""
    while calls > 0:
        calls -= server.put_load(16, 1).calls
    return server.memory().pss


if __name__ == "__main__":
    sys.exit(main())
