"""Compares two servers that run at the same time and are called in turn.

    python -m benchmarks.pairs before ours --before ../old --workloads echo tabular

The speed of a machine may change by a fifth from one minute to the next, which hides a
difference of a few percent between servers that benchmarks.compare starts one after the
other. Here each is called for a second, again and again in turn, over several starts of
both. Prints the ratio of the second server's rate to the first's: the median over the
starts, and the lowest and the highest. Needs wrk, as benchmarks.compare does.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median

from benchmarks import environments, load
from benchmarks.compare import CACHE, say
from benchmarks.environments import BEFORE
from benchmarks.running import Running, running
from benchmarks.servers import SERVERS
from benchmarks.workloads import WORKLOADS


def ratio(pair: list[Running], clients: int, rounds: int) -> float:
    """Return the median ratio of the rates of two servers that run."""
    ratios = []
    for number in range(rounds + 1):
        rates = [0.0, 0.0]
        for index in (0, 1) if number % 2 else (1, 0):
            run = pair[index].put_load(clients, 1)
            if run.wrong or run.lost:
                raise SystemExit(f"{run.wrong} wrong answers, {run.lost} lost")
            rates[index] = run.calls / run.seconds
        if number:  # in the first one they become warm
            ratios.append(rates[1] / rates[0])
    return median(ratios)


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("servers", nargs=2, choices=list(SERVERS), metavar="SERVER")
    parser.add_argument("--before", type=Path, metavar="DIR", help="another checkout")
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=["echo"])
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 16], metavar="N")
    parser.add_argument("--starts", type=int, default=6, help="of both servers")
    parser.add_argument("--rounds", type=int, default=6, help="of each start")
    options = parser.parse_args()
    if (BEFORE in options.servers) is not (options.before is not None):
        parser.error(f"--before DIR goes with the server {BEFORE}")
    load.require()
    servers = [SERVERS[name] for name in options.servers]
    binaries = [
        environments.make(each.environment, CACHE, options.before) for each in servers
    ]
    print("| workload | clients | ratio | lowest | highest |\n|---|--:|--:|--:|--:|")
    for name in options.workloads:
        workload = WORKLOADS[name]
        found: dict[int, list[float]] = {clients: [] for clients in options.clients}
        for number in range(options.starts):
            say(f"start {number + 1}, {name}")
            with (
                running(servers[0], workload, binaries[0]) as first,
                running(servers[1], workload, binaries[1]) as second,
            ):
                for clients, ratios in found.items():
                    ratios.append(ratio([first, second], clients, options.rounds))
        for clients, ratios in found.items():
            low, middle, high = min(ratios), median(ratios), max(ratios)
            print(f"| {name} | {clients} | {middle:.3f} | {low:.3f} | {high:.3f} |")


if __name__ == "__main__":
    main()
