"""Measures the way of a small call to its model: here, on Ray, and by Ray Serve.

    python -m benchmarks.hop
    pip install 'ray[serve]' && python -m benchmarks.hop   # with Ray Serve

Starts a Ray cluster of a head and two nodes on this machine, in a network of its own,
and calls an echo with two workers from one process, with 1 and with 16 calls at a time.
Prints a table; times are in milliseconds. Then asks a server on the cluster whether it
lives, again and again, while 16 clients call its model.
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

import aiohttp

from benchmarks.soak import address
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


async def measure_others(cluster: str, seconds: float) -> None:
    """Time a server's other requests while clients call its model on the cluster."""
    server = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "deepaas-run"),
        *("--listen-port=0", f"--model=echo={MODEL.target}", "--model-name=echo"),
        *(f"--workers={WORKERS}", f"--ray-address={cluster}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **ray_cluster.SETTINGS},
    )
    assert server.stdout is not None
    url = await address(server.stdout)
    async with aiohttp.ClientSession(url) as session:

        async def predict(n: int) -> None:
            async with session.post("/v2/models/echo/predict", params={"n": n}) as got:
                await got.read()
                assert got.status == 200, await got.text()

        async def ask(_: int) -> None:
            await asyncio.sleep(0.01)
            began = time.perf_counter()
            async with session.get("/v2/health/live") as got:
                await got.read()
            times.append((time.perf_counter() - began) * 1000)

        times: list[float] = []
        calling = asyncio.create_task(measure(predict, CLIENTS[-1], seconds))
        await measure(ask, 1, seconds)
        rate, median, _ = await calling
    server.terminate()
    await server.wait()
    last = statistics.quantiles(times, n=100)[98]
    print(
        f"\nA server, {CLIENTS[-1]} clients of the model: {rate:.0f} calls/s, p50 "
        f"{median:.2f}; {len(times)} other requests meanwhile: "
        f"p50 {statistics.median(times):.2f}, p99 {last:.2f}"
    )


async def of_executor(name: str, executor: Executor, seconds: float) -> None:
    async def call(n: int) -> Any:
        return await executor.call("predict", {"n": n})

    await executor.start()
    try:
        await measure_all(name, call, seconds)
    finally:
        await executor.close(0)


async def of_serve(cluster: str, seconds: float) -> None:
    """Measure Ray Serve by the handle of a deployment, and by its own HTTP."""
    import ray
    from ray import serve

    @serve.deployment(num_replicas=WORKERS, ray_actor_options={"num_cpus": 1})
    class Echo:
        def predict(self, n: int) -> dict[str, int]:
            return {"n": n}

        async def __call__(self, request: Any) -> dict[str, int]:
            return {"n": int(request.query_params["n"])}

    ray.init(cluster, log_to_driver=False, logging_level="error")
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


def run(cluster: str, seconds: float, no_serve: bool) -> None:
    envelope = Envelope.NONE
    head = " | ".join(f"{n}: calls/s | p50 | p99" for n in CLIENTS)
    print(f"| | {head} |\n|---|{'---|' * 3 * len(CLIENTS)}")
    local = create_executor(MODEL, Local(WORKERS), envelope=envelope)
    asyncio.run(of_executor("local", local, seconds))
    where = Cluster(cluster, workers=WORKERS)
    places = create_executor(MODEL, where, envelope=envelope)
    asyncio.run(of_executor("places on Ray", places, seconds))
    if no_serve:
        pass
    elif importlib.util.find_spec("starlette") is not None:
        asyncio.run(of_serve(cluster, seconds))
    else:
        print("Ray Serve is missing: pip install 'ray[serve]'", file=sys.stderr)
    asyncio.run(measure_others(cluster, seconds))


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
