"""Does the server grow with the calls it has answered, and is it fair to many callers?

    python -m benchmarks.endurance

Serves a trivial model with one worker, and prints the memory of all its processes after
10,000 and after 100,000 calls; then how long the slowest of 256 clients wait, beside
what they would if each got its turn. Needs wrk, as benchmarks.compare does. The exit
code is 1 if a bound of ours is broken.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks import compare, environments, load
from benchmarks.running import Running, running
from benchmarks.servers import SERVERS
from benchmarks.workloads import WORKLOADS

EARLY, LATE = 10_000, 100_000
"""Calls after which memory is compared."""

GROWTH = 1.05
"""How much more it may be then."""

MANY = 256
"""Clients at once."""

UNFAIR = 1.3
"""How much longer than their share the slowest in a hundred may wait."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of the 256 clients")
    options = parser.parse_args()
    if not load.installed():
        compare.say(load.MISSING)
        return 1
    binaries = environments.make(environments.OURS, compare.CACHE)
    with running(SERVERS["ours"], WORKLOADS["echo"], binaries) as server:
        early = _memory_after(server, EARLY)
        late = _memory_after(server, LATE - EARLY)
        seen = server.put_load(MANY, options.seconds)
    growth = late / early
    share = 1000 * MANY * seen.seconds / seen.calls
    bad = seen.wrong + seen.lost
    print(f"| MiB after {EARLY:,} | after {LATE:,} | ratio |\n|--:|--:|--:|")
    print(f"| {early:.1f} | {late:.1f} | {growth:.3f} |\n")
    print(f"| {MANY} clients, p99 ms | clients / rate, ms | ratio | bad |")
    print("|--:|--:|--:|--:|")
    print(f"| {seen.p99:.1f} | {share:.1f} | {seen.p99 / share:.2f} | {bad} |")
    return int(growth > GROWTH or seen.p99 > UNFAIR * share or bad > 0)


def _memory_after(server: Running, calls: int) -> float:
    """Make at least so many calls; return the MiB of all processes then."""
    while calls > 0:
        calls -= server.put_load(16, 1).calls
    return server.memory().pss


if __name__ == "__main__":
    sys.exit(main())
