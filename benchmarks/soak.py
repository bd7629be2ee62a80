"""Sends mixed traffic while workers are killed, and checks each answer.

    python benchmarks/soak.py --seconds 120 --kill-every 1
    python -m benchmarks.soak --seconds 120 --ray

With `--ray`, the workers are on a Ray cluster of a head and two nodes on this machine,
and places and nodes are killed too.

Starts `deepaas-run` on a free port of 127.0.0.1 with two workers, and ends with one
table. The exit code is 1 if a call was not answered, an answer was wrong, a 5xx had no
reason, or something was left over.
"""

import argparse
import asyncio
import bisect
import contextlib
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
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import psutil

if TYPE_CHECKING:
    from tests.cluster import Cluster

MODEL = Path(__file__).parent / "soak_model.py"
CLIENTS = 16
PREDICT_TIMEOUT = 2.0
"""Seconds that the server lets a prediction run."""

ORDER_MARGIN = 0.1
"""Seconds between two calls of which the first should run first."""

OVERTAKEN_SECONDS = 0.5
"""Seconds for which it may run later. A call that was sent ahead to a worker comes back
within milliseconds if the one before it is slow; another call may have begun meanwhile,
and those of this traffic take up to 0.2 s."""

PLACE_INTERVAL = 10.0
NODE_INTERVAL = 40.0
"""Seconds between two kills of a place, or a node, of a cluster."""

SERVER_REASONS = re.compile(r"The worker died|took longer than|calls wait|No worker")
"""The messages of a 5xx that the model did not cause."""


class Soak:
    """The traffic and its results."""

    def __init__(
        self, url: str, server: psutil.Process, cluster: "Cluster | None" = None
    ) -> None:
        self.url = f"{url}/v2/models/soak/predict"
        self.server = server
        self.cluster = cluster
        self.numbers = itertools.count()
        self.sent = 0
        self.left = 0
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.unanswered: list[str] = []
        self.kills: Counter[str] = Counter()
        self.twice: list[str] = []
        """The calls that were begun more than once."""
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

    def overtaken(self) -> list[str]:
        """Return the calls that ran long after one that was clearly sent later."""
        calls = sorted(self.started)
        # The first to run of each call and of all that were sent after it.
        earliest = list(itertools.accumulate((s for _, s in reversed(calls)), min))
        earliest.reverse()
        moments = [sent for sent, _ in calls]
        late = []
        for sent, started in calls:
            later = bisect.bisect(moments, sent + ORDER_MARGIN)
            if later < len(calls) and started > earliest[later] + OVERTAKEN_SECONDS:
                after, other = started - sent, earliest[later] - sent
                late.append(f"ran {after:.3f} s after it was sent, another {other:.3f}")
        return late

    async def kill(self, every: float, until: float) -> None:
        """Kill a worker now and then."""
        while time.monotonic() < until:
            await asyncio.sleep(random.uniform(0.5, 1.5) * every)
            await asyncio.to_thread(self._kill_one, "workers")

    def _kill_one(self, kind: str) -> None:
        if self.cluster is None:
            found = self.server.children()
        elif kind == "workers":
            found = self.cluster.models()
        else:
            found = self.cluster.places()
        if found:
            with contextlib.suppress(psutil.NoSuchProcess):
                random.choice(found).kill()
            self.kills[kind] += 1

    async def kill_places(self, until: float) -> None:
        """Kill a place now and then."""
        while time.monotonic() + PLACE_INTERVAL < until:
            await asyncio.sleep(PLACE_INTERVAL)
            await asyncio.to_thread(self._kill_one, "places")

    async def kill_nodes(self, cluster: "Cluster", until: float) -> None:
        """Kill a node now and then, and start another one."""
        while time.monotonic() + NODE_INTERVAL < until:
            await asyncio.sleep(NODE_INTERVAL)
            node = random.choice(cluster.nodes)
            node.kill_raylet()
            self.kills["nodes"] += 1
            await asyncio.sleep(20)  # the rest of it ends by itself
            await asyncio.to_thread(cluster.remove, node)
            await asyncio.to_thread(cluster.add_node)


def measure(server: psutil.Process, folder: Path) -> dict[str, int]:
    """Return the measurements that must not grow."""
    return {
        "file descriptors": server.num_fds(),
        "temporary files": len(list(folder.iterdir())),
        "processes": len(server.children(recursive=True)),
        "memory of the server, MiB": server.memory_info().rss // 2**20,
    }


async def run(
    seconds: float, kill_every: float, workers: int, cluster: "Cluster | None" = None
) -> int:
    settings = {} if cluster is None else _ray_settings()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as ours:
        ran = Path(ours, "ran")
        server = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "deepaas-run"),
            *("--listen-port=0", f"--model=soak={MODEL}", "--model-name=soak"),
            *(f"--workers={workers}", f"--predict-timeout={PREDICT_TIMEOUT}"),
            *(() if cluster is None else (f"--ray-address={cluster.address}",)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, **settings, "TMPDIR": folder, "SOAK_RAN": str(ran)},
        )
        assert server.stdout is not None
        url = await address(server.stdout)
        process = psutil.Process(server.pid)
        soak = Soak(url, process, cluster)
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
            if cluster is not None:
                tasks.append(asyncio.create_task(soak.kill_places(until)))
                tasks.append(asyncio.create_task(soak.kill_nodes(cluster, until)))
            await asyncio.sleep(min(20, seconds / 2))
            before = measure(process, Path(folder))
            await asyncio.gather(*tasks)
            await settled(url, session, workers)
        await asyncio.sleep(1)  # idle connections and ended workers go
        after = measure(process, Path(folder))
        family = process.children(recursive=True)
        if cluster is not None:
            family += [*cluster.places(), *cluster.models()]
        server.send_signal(signal.SIGTERM)
        code = await server.wait()
        await asyncio.to_thread(psutil.wait_procs, family, timeout=2)
        left = [child for child in family if child.is_running()]
        files = os.listdir(folder)
        if cluster is not None:
            files += [path.name for path in cluster.place_folders()]
        begun = Counter((await asyncio.to_thread(ran.read_text)).split())
    soak.twice = [n for n, count in begun.items() if count > 1]
    return report(soak, before, after, code, left, files)


def _ray_settings() -> dict[str, str]:
    from tests.cluster import SETTINGS

    return SETTINGS


@contextlib.contextmanager
def ray_cluster() -> "Iterator[Cluster]":
    """Start a cluster in a network of its own."""
    from tests.cluster import Cluster, absent, network

    if (reason := absent()) is not None:
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="r") as folder, network():
        cluster = Cluster(Path(folder))
        try:
            cluster.add_nodes(2)
            yield cluster
        finally:
            cluster.close()


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
    late = soak.overtaken()
    rows = {
        "calls sent": soak.sent,
        "answered": sum(soak.statuses.values()),
        **{f"answered {status}": n for status, n in sorted(soak.statuses.items())},
        "clients that hung up": soak.left,
        **{f"{kind} killed": n for kind, n in sorted(soak.kills.items())},
        "calls never answered": len(soak.unanswered),
        "wrong answers": len(soak.wrong),
        "calls begun twice": len(soak.twice),
        "order violations": len(late),
        "exit code": code,
        "processes left": len(left),
        "files left": len(files),
    }
    rows |= {name: f"{before[name]} → {after[name]}" for name in before}
    print("| | |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value} |")
    for text in (*soak.unanswered[:3], *soak.wrong[:3], *late[:3]):
        print(text, file=sys.stderr)
    bad = soak.unanswered or soak.wrong or soak.twice or late
    return int(bool(bad or code or left or files))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kill-every", type=float, default=1, metavar="SECONDS")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ray", action="store_true", help="on a Ray cluster")
    options = parser.parse_args()
    with ray_cluster() if options.ray else contextlib.nullcontext() as started:
        arguments = (options.seconds, options.kill_every, options.workers)
        code = asyncio.run(run(*arguments, started))
    sys.exit(code)
