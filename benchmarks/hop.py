"""Measures the way of a small call to its model: here, on Ray, and by Ray Serve.

    python -m benchmarks.hop
    pip install 'ray[serve]' && python -m benchmarks.hop   # with Ray Serve

Starts a Ray cluster of a head and two nodes on this machine, in a network of its own,
and calls an echo with two workers from one process, with 1 and with 16 calls at a time.
Prints a table; times are in milliseconds.
"""

import argparse
import asyncio
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from deepaas.executors import Cluster, Executor, Local, create_executor
from deepaas.executors.messages import Envelope
from deepaas.model.loading import ModelRef
from tests import cluster as ray_cluster

MODEL = ModelRef("echo", str(Path(__file__).parent / "models" / "hop_echo.py"))
CLIENTS = (1, 16)
WORKERS = 2

Call = Callable[[int], Awaitable[Any]]
Row = tuple[float, float, float]
"""Calls a second, and the median and the 99th percentile of their times."""


async def measure(call: Call, clients: int, seconds: float) -> Row:
    """Call again and again, `clients` at a time."""
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def client() -> None:
        while (began := time.perf_counter()) < until:
            await call(len(times))
            times.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    took = time.perf_counter() - began
    last = statistics.quantiles(times, n=100)[98]
    return len(times) / took, statistics.median(times) * 1000, last * 1000


async def measure_all(name: str, call: Call, seconds: float) -> None:
    for n in range(50):
        await call(n)
    rows = [await measure(call, clients, seconds) for clients in CLIENTS]
    cells = [f"{rate:.0f} | {median:.2f} | {last:.2f}" for rate, median, last in rows]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


async def of_executor(name: str, executor: Executor, seconds: float) -> None:
    async def call(n: int) -> Any:
        return await executor.call("predict", {"n": n})

    await executor.start()
    try:
        await measure_all(name, call, seconds)
    finally:
        await executor.close(0)


async def of_serve(address: str, seconds: float) -> None:
    """Measure Ray Serve by the handle of a deployment, and by its own HTTP."""
    import aiohttp
    import ray
    from ray import serve

    @serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 1})
    class Echo:
        def predict(self, n: int) -> dict[str, int]:
            return {"n": n}

        async def __call__(self, request: Any) -> dict[str, int]:
            return {"n": int(request.query_params["n"])}

    ray.init(address, log_to_driver=False, logging_level="error")
    serve.start(http_options={"host": "127.0.0.1", "port": 8000})
    handle = await asyncio.to_thread(serve.run, Echo.bind())
    await measure_all(
        "Ray Serve, handle", lambda n: _awaited(handle.predict.remote(n)), seconds
    )
    async with aiohttp.ClientSession() as session:

        async def call(n: int) -> None:
            async with session.get(f"http://127.0.0.1:8000/?n={n}") as answer:
                await answer.read()

        await measure_all("Ray Serve, HTTP", call, seconds)


async def _awaited(response: Any) -> Any:
    return await response


def run(address: str, seconds: float, no_serve: bool) -> None:
    envelope = Envelope.NONE
    head = " | ".join(f"{n}: calls/s | p50 | p99" for n in CLIENTS)
    print(f"| | {head} |\n|---|{'---|' * 3 * len(CLIENTS)}")
    local = create_executor(MODEL, Local(WORKERS), envelope=envelope)
    asyncio.run(of_executor("local", local, seconds))
    where = Cluster(address, workers=WORKERS)
    places = create_executor(MODEL, where, envelope=envelope)
    asyncio.run(of_executor("places on Ray", places, seconds))
    if no_serve:
        return
    if importlib.util.find_spec("starlette") is not None:
        asyncio.run(of_serve(address, seconds))
    else:
        print("Ray Serve is missing: pip install 'ray[serve]'", file=sys.stderr)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--no-serve", action="store_true", help="without Ray Serve")
    options = parser.parse_args()
    if (reason := ray_cluster.absent()) is not None:
        sys.exit(reason)
    with tempfile.TemporaryDirectory(prefix="r") as folder, ray_cluster.network():
        cluster = ray_cluster.Cluster(Path(folder))
        try:
            cluster.add_nodes(2)
            run(cluster.address, options.seconds, options.no_serve)
        finally:
            cluster.close()
    os._exit(0)  # Ray's driver may wait for its cluster
