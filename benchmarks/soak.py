"""Sends mixed traffic while workers are killed, and checks each answer.

    python benchmarks/soak.py --seconds 120 --kill-every 1

Starts `deepaas-run` on a free port of 127.0.0.1 with two workers, and ends with one
table. The exit code is 1 if a call was not answered, an answer was wrong, a 5xx had no
reason, or something was left over.
"""

import argparse
import asyncio
import bisect
import hashlib
import itertools
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp
import psutil

MODEL = Path(__file__).parent / "soak_model.py"
CLIENTS = 16
PREDICT_TIMEOUT = 2.0
"""Seconds that the server lets a prediction run."""

ORDER_MARGIN = 0.1
"""Seconds between two calls of which the first must run first."""

SERVER_REASONS = re.compile(r"The worker died|took longer than|calls wait|No worker")
"""The messages of a 5xx that the model did not cause."""


class Soak:
    """The traffic and its results."""

    def __init__(self, url: str, server: psutil.Process) -> None:
        self.url = f"{url}/v2/models/soak/predict"
        self.server = server
        self.numbers = itertools.count()
        self.sent = 0
        self.left = 0
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.unanswered: list[str] = []
        self.kills = 0
        self.started: list[tuple[float, float]] = []
        """Of each call without a body: when it was sent, and when it ran."""

    async def client(self, session: aiohttp.ClientSession, until: float) -> None:
        kinds = [self.echo, self.upload, self.slow, self.fail, self.leave, self.overrun]
        weights = [60, 15, 8, 10, 6, 1]
        while time.monotonic() < until:
            kind = random.choices(kinds, weights)[0]
            await kind(session, next(self.numbers))

    async def echo(self, session: aiohttp.ClientSession, n: int) -> None:
        await self.ask(session, n)

    async def slow(self, session: aiohttp.ClientSession, n: int) -> None:
        await self.ask(session, n, seconds=random.uniform(0, 0.2))

    async def overrun(self, session: aiohttp.ClientSession, n: int) -> None:
        await self.ask(session, n, seconds=60)

    async def upload(self, session: aiohttp.ClientSession, n: int) -> None:
        await self.ask(session, n, content=os.urandom(random.randrange(1, 300_000)))

    async def fail(self, session: aiohttp.ClientSession, n: int) -> None:
        await self.ask(session, n, fail=random.choice(["value", "unpicklable"]))

    async def leave(self, session: aiohttp.ClientSession, n: int) -> None:
        """Hang up in the middle of a call."""
        self.left += 1
        params = {"n": n, "seconds": 0.1}
        try:
            patience = aiohttp.ClientTimeout(total=random.uniform(0.001, 0.1))
            async with session.post(self.url, params=params, timeout=patience):
                pass
        except (asyncio.TimeoutError, aiohttp.ClientError):
            pass

    async def ask(
        self,
        session: aiohttp.ClientSession,
        n: int,
        content: bytes = b"",
        fail: str = "",
        seconds: float = 0,
    ) -> None:
        self.sent += 1
        params = {"n": str(n), "fail": fail, "seconds": str(seconds)}
        form = {"data": content} if content else None
        sent = time.time()
        try:
            async with session.post(self.url, params=params, data=form) as answer:
                text = await answer.text()
        except (asyncio.TimeoutError, aiohttp.ClientError) as error:
            self.unanswered.append(f"{params}: {error!r}")
            return
        self.statuses[answer.status] += 1
        digest = hashlib.sha256(content).hexdigest()
        right = f'{{\\"n\\":{n},\\"sha256\\":\\"{digest}\\",' in text and not fail
        told = (fail and f"told to fail {n}" in text) or f"{n}: told to fail" in text
        if answer.status == 200 and not right:
            self.wrong.append(text)
        elif answer.status == 200 and not content:
            started = re.search(r"started\W+([0-9.e+]+)", text)
            assert started is not None
            self.started.append((sent, float(started[1])))
        if answer.status != 200 and not told and not SERVER_REASONS.search(text):
            self.wrong.append(text)

    def order_violations(self) -> int:
        """Count the calls that ran after one that was clearly sent later."""
        calls = sorted(self.started)
        earliest = list(itertools.accumulate((s for _, s in reversed(calls)), min))
        earliest.reverse()  # the first to run of this call and of all sent after it
        moments = [sent for sent, _ in calls]
        late = 0
        for sent, started in calls:
            later = bisect.bisect(moments, sent + ORDER_MARGIN)
            late += later < len(calls) and started > earliest[later] + ORDER_MARGIN
        return late

    async def kill(self, every: float, until: float) -> None:
        """Kill a worker now and then."""
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(0.5, 1.5) * every)
            if workers := self.server.children():
                random.choice(workers).kill()
                self.kills += 1


def measure(server: psutil.Process, folder: Path) -> dict[str, int]:
    """Return the measurements that must not grow."""
    return {
        "file descriptors": server.num_fds(),
        "temporary files": len(list(folder.iterdir())),
        "processes": len(server.children(recursive=True)),
        "memory of the server, MiB": server.memory_info().rss // 2**20,
    }


async def run(seconds: float, kill_every: float, workers: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        server = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "deepaas-run"),
            *("--listen-port=0", f"--model=soak={MODEL}", "--model-name=soak"),
            *(f"--workers={workers}", f"--predict-timeout={PREDICT_TIMEOUT}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": folder},
        )
        assert server.stdout is not None
        url = await address(server.stdout)
        process = psutil.Process(server.pid)
        soak = Soak(url, process)
        patience = aiohttp.ClientTimeout(total=60)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            timeout=patience, connector=connector
        ) as session:
            began = time.monotonic()
            until = began + seconds
            tasks = [
                asyncio.create_task(soak.client(session, until)) for _ in range(CLIENTS)
            ]
            tasks.append(asyncio.create_task(soak.kill(kill_every, until)))
            await asyncio.sleep(min(20, seconds / 2))
            before = measure(process, Path(folder))
            await asyncio.gather(*tasks)
            await settled(url, session, workers)
        await asyncio.sleep(1)  # idle connections and ended workers go
        after = measure(process, Path(folder))
        family = process.children(recursive=True)
        server.send_signal(signal.SIGTERM)
        code = await server.wait()
        left = [child for child in family if child.is_running()]
        files = os.listdir(folder)
    return report(soak, before, after, code, left, files)


async def address(output: asyncio.StreamReader) -> str:
    """Return the server's address, from the lines that it prints once it answers."""
    async for line in output:
        if found := re.search(rb"(http://\S+)/v2/$", line):
            return found[1].decode()
    raise SystemExit("The server ended before it listened.")


async def settled(url: str, session: aiohttp.ClientSession, workers: int) -> None:
    """Wait until the server has all its workers again, and nothing runs."""
    idle = 0
    while idle < workers:
        async with session.get(f"{url}/v2/health/ready") as answer:
            health = await answer.json()
        states = [w["state"] for w in health["models"]["soak"]["workers"]]
        idle = states.count("idle")
        await asyncio.sleep(0.1)


def report(soak, before, after, code, left, files) -> int:  # type: ignore[no-untyped-def]
    """Print the table; return the exit code."""
    rows = {
        "calls sent": soak.sent,
        "answered": sum(soak.statuses.values()),
        **{f"answered {status}": n for status, n in sorted(soak.statuses.items())},
        "clients that hung up": soak.left,
        "workers killed": soak.kills,
        "calls never answered": len(soak.unanswered),
        "wrong answers": len(soak.wrong),
        "order violations": soak.order_violations(),
        "exit code": code,
        "processes left": len(left),
        "files left": len(files),
    }
    rows |= {name: f"{before[name]} → {after[name]}" for name in before}
    print("| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    for text in (*soak.unanswered[:3], *soak.wrong[:3]):
        print(text, file=sys.stderr)
    bad = soak.unanswered or soak.wrong or soak.order_violations()
    return int(bool(bad or code or left or files))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kill-every", type=float, default=1, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    sys.exit(asyncio.run(run(options.seconds, options.kill_every, options.workers)))
