"""Measures the time of a scrape of /metrics under load.

    python -m benchmarks.scrape --rate 1000 --seconds 20

Calls a trivial model at a rate, scrapes ten times a second, and prints one table.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

from tests.server import ROOT, Server

CALLERS = 32
"""Connections that share the rate."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    model = f"--model=echo={ROOT / 'tests' / 'models' / 'echo.py'}"
    with tempfile.TemporaryDirectory() as folder:
        server = Server(model, "--workers=2", directory=Path(folder))
        try:
            statuses, scrapes = asyncio.run(_measure(server.url, options))
        finally:
            problems = server.close()
    times = sorted(1000 * seconds for seconds in scrapes)
    p99 = statistics.quantiles(times, n=100)[98]
    rate = sum(statuses.values()) / options.seconds
    print("| calls/s | statuses | scrapes | p50 ms | p99 ms | max ms |")
    print("|---|---|---|---|---|---|")
    print(
        f"| {rate:.0f} | {dict(statuses)} | {len(times)} | "
        f"{statistics.median(times):.1f} | {p99:.1f} | {times[-1]:.1f} |"
    )
    print("\n".join(problems))


async def _measure(url, options):
    statuses, scrapes = Counter(), []
    until = time.monotonic() + options.seconds
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session:

        async def call(number):
            pause = CALLERS / options.rate
            due = time.monotonic() + pause * number / CALLERS
            while due < until:
                await asyncio.sleep(due - time.monotonic())
                async with session.post("/v2/models/echo/predict/?n=1") as answer:
                    await answer.read()
                    statuses[answer.status] += 1
                due += pause

        async def scrape():
            while time.monotonic() < until:
                begun = time.monotonic()
                async with session.get("/metrics") as answer:
                    await answer.read()
                scrapes.append(time.monotonic() - begun)
                await asyncio.sleep(0.1)

        await asyncio.gather(scrape(), *map(call, range(CALLERS)))
    return statuses, scrapes


if __name__ == "__main__":
    main()
