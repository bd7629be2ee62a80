"""Sends the server generated requests for a long time, and counts faults and leaks.

    python -m benchmarks.fuzz --requests 100000 --seed 0

The requests are those of tests/fuzzing. Ends with one table; the exit code is 1 if
an answer was a 5xx or none at all, or if files or descriptors are left. A fault
is printed with the shortest request that causes it.
"""

import argparse
import itertools
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import psutil

from tests.fuzzing.hunt import OPTIONS, Fault, Hang, Hunt, errors, held, is_idle
from tests.fuzzing.kinds import KINDS
from tests.server import Server, wait_until

REQUESTS_PER_SEED = 250
"""Requests made from one seed; Hypothesis gets slower with more."""

MAX_CLIENT_BYTES = 4 * 1024**3
"""Limit of a client's memory; Hypothesis has taken all memory of a machine before."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clients", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(
            *OPTIONS, "--workers=2", directory=Path(folder), errors_expected=True
        )
        try:
            faults, rows = _hunt(server, options)
        finally:
            problems = server.close()
    rows += [("left behind at the end", ", ".join(problems) or "nothing")]
    print("| | |\n|---|---|")
    for name, value in rows:
        print(f"| {name} | {value} |")
    for fault in faults:
        print(f"\n{fault}")
    sys.exit(1 if faults or problems else 0)


def _hunt(server, options):
    seeds = iter(range(options.seed, sys.maxsize))
    _send(server, options.clients, len(KINDS), seeds)  # what grows only once
    before, memory = _rest(server)
    began = time.monotonic()
    chunks = -(-options.requests // REQUESTS_PER_SEED)
    sent, statuses, faults = _send(server, options.clients, chunks, seeds)
    seconds = time.monotonic() - began
    after, memory_after = _rest(server)
    faults += [f"{n}: {before[n]} -> {after[n]}" for n in after if after[n] > before[n]]
    faults += errors(server)
    return faults, [
        ("requests", f"{sum(sent.values()):,} in {seconds:.0f} s"),
        *((f"{kind}", f"{count:,}") for kind, count in sent.items()),
        *((f"answers: {s}", f"{n:,}") for s, n in sorted(statuses.items(), key=str)),
        *((name, f"{before[name]} -> {after[name]}") for name in after),
        ("memory of the server, MiB", f"{memory} -> {memory_after}"),
        ("faults", len(faults)),
    ]


def _send(server, clients, chunks, seeds):
    kinds = itertools.cycle(KINDS)
    sent, statuses, faults = Counter(), Counter(), []
    with ProcessPoolExecutor(clients, initializer=_bound_memory) as pool:
        running = [
            pool.submit(_run, server.port, next(kinds), next(seeds))
            for _ in range(chunks)
        ]
        for done in as_completed(running):
            kind, hunt, fault = done.result()
            sent[kind] += hunt.sent
            statuses.update(hunt.statuses)
            statuses["closed without an answer"] += hunt.closed
            faults += [fault] if fault else []
    return sent, statuses, faults


def _run(port, kind, seed):
    hunt = Hunt(port)
    try:
        hunt.run(kind, REQUESTS_PER_SEED, seed)
    except (Fault, Hang) as fault:
        return kind, hunt, f"{kind}, seed {seed}: {fault}"
    except MemoryError:  # Hypothesis's own, seldom: what it has sent counts
        pass
    return kind, hunt, None


def _bound_memory():
    resource.setrlimit(resource.RLIMIT_AS, (MAX_CLIENT_BYTES, MAX_CLIENT_BYTES))


def _rest(server):
    """Return what the server holds when it has nothing to do, and its memory."""
    wait_until(lambda: is_idle(server), timeout=60)
    time.sleep(2)  # closed connections are gone a moment later
    return held(server), psutil.Process(server.pid).memory_info().rss >> 20


if __name__ == "__main__":
    main()
