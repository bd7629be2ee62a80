"""Compares a model that takes calls in batches with one that takes them singly.

    python -m benchmarks.batching --calls 100000 --models fixed

Serves each model twice on 127.0.0.1, with `predict` and with `predict_batch`, and calls
it with 64 clients, each call with a number of its own that has to come back. Prints one
table and exits with 1 if an answer is wrong.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.server import Server

SINGLE_CALLS = 2000
"""Number of calls of a model that takes them one by one."""

FIXED = """
import time
from webargs import fields

max_batch_size = 64

def get_predict_args():
    return {"n": fields.Int(required=True)}

def compute(numbers):
    time.sleep(0.005)
    return numbers
"""

NUMPY = """
import numpy
from webargs import fields

max_batch_size = 64

def warm():
    global weights
    weights = numpy.random.default_rng(0).random((4096, 4096), numpy.float32)

def get_predict_args():
    return {"n": fields.Int(required=True)}

def compute(numbers):
    rows = numpy.ones((len(numbers), 4096), numpy.float32)
    assert (rows @ weights).shape == rows.shape
    return numbers
"""

ONE_BY_ONE = "\ndef predict(n):\n    return compute([n])[0]\n"
TOGETHER = """
def predict_batch(calls):
    return compute([call["n"] for call in calls])
"""

MODELS = {
    "fixed": ("5 ms, whatever the size", FIXED),
    "numpy": ("numpy: rows times 4096 x 4096", NUMPY),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    print("| model | one by one, calls/s | together, calls/s | ratio | wrong |")
    print("|---|--:|--:|--:|--:|")
    all_wrong = 0
    for name, source in map(MODELS.__getitem__, options.models):
        alone, bad = _measure(source + ONE_BY_ONE, SINGLE_CALLS, options.clients)
        together, worse = _measure(source + TOGETHER, options.calls, options.clients)
        ratio, wrong = together / alone, bad + worse
        print(f"| {name} | {alone:.0f} | {together:.0f} | {ratio:.1f} | {wrong} |")
        all_wrong += wrong
    return int(all_wrong > 0)


def _measure(source: str, calls: int, clients: int) -> tuple[float, int]:
    """Return calls per second, and the number of wrong answers."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.py"
        file.write_text(source)
        server = Server(
            f"--model=m={file}", "--raw-predictions", directory=Path(folder)
        )
        try:
            return asyncio.run(_call(server.url, calls, clients))
        finally:
            print(*server.close(), file=sys.stderr)


async def _call(url: str, calls: int, clients: int) -> tuple[float, int]:
    numbers = iter(range(calls))
    wrong = 0
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(url, connector=connector) as session:

        async def client() -> None:
            nonlocal wrong
            for n in numbers:
                async with session.post(f"/v2/models/m/predict/?n={n}") as answer:
                    value = await answer.json()
                    wrong += answer.status != 200 or value["predictions"] != n

        began = time.monotonic()
        await asyncio.gather(*(client() for _ in range(clients)))
        return calls / (time.monotonic() - began), wrong


if __name__ == "__main__":
    sys.exit(main())
