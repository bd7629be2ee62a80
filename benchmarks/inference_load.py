"""Loads the Open Inference Protocol: many clients with batches, and large answers.

    python -m benchmarks.inference_load --seconds 5

First, 64 clients ask a model with `predict_batch` that takes 5 ms for any batch, with
one row in a request and then with 64. Then one client asks for 1024 x 1024 numbers of
FP32, as bytes and in JSON, five times a second, while others make small calls of
another model of the same server. It needs wrk, and a machine that does nothing else.
The exit code is 1 if an answer was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from benchmarks import load
from benchmarks.inference import (
    FIXED,
    ROWS,
    Body,
    add_environment_options,
    ask,
    find_ours,
    in_binary,
    ours,
    running,
    wait,
)
from benchmarks.servers import HOST, free_port

CLIENTS = 64
SIDE = 1024
PERIOD = 0.2
"""Seconds between two large answers."""

LARGE = f"""
import numpy
from webargs import fields

def get_predict_args():
    return {{"n": fields.Int(required=True)}}

def predict(n):
    return {{"y": numpy.full(({SIDE}, {SIDE}), n, numpy.float32)}}
"""

SMALL = """
from webargs import fields

def get_predict_args():
    return {"n": fields.Int(required=True)}

def predict(n):
    return {"y": n}
"""


def put(url: str, body: Body, clients: int, seconds: int) -> load.Load:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body.data)
        file.flush()
        path = Path(file.name)
        return load.put(url, path, "application/json", clients, seconds, body.headers)


def scalar(*, binary: bool) -> Body:
    """An integer in JSON; its answer is to be in JSON, or as bytes."""
    one = {"name": "n", "shape": [1], "datatype": "INT64", "data": [7]}
    parameters = {"binary_data_output": binary}
    return Body(json.dumps({"inputs": [one], "parameters": parameters}).encode(), {})


def measure_batches(binaries: Path, seconds: int) -> int:
    """Print the rates of many clients; return the number of wrong answers."""
    wrong = 0
    print(f"| rows in a request, {CLIENTS} clients | rows/s | p99 ms | wrong |")
    print("|--:|--:|--:|--:|")
    with ours(binaries, FIXED) as url:
        wait(url, in_binary())
        for rows in (0, ROWS):
            put(url, in_binary(rows), CLIENTS, 1)
            seen = put(url, in_binary(rows), CLIENTS, seconds)
            rate = seen.calls * (rows or 1) / seen.seconds
            print(f"| {rows or 1} | {rate:,.0f} | {seen.p99:.0f} | {seen.wrong} |")
            wrong += seen.wrong + seen.lost
    return wrong


@contextlib.contextmanager
def two_models(binaries: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Serve a model with large answers and one with small ones: URL and process."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for name, source in (("large", LARGE), ("small", SMALL)):
            (Path(folder) / f"{name}.py").write_text(source)
        port = free_port()
        command = [
            str(binaries / "deepaas-run"),
            *("--listen-ip", HOST, "--listen-port", str(port)),
            *("--model", "large=large.py", "--model", "small=small.py"),
        ]
        with running(command, folder, {}):
            url = f"http://{HOST}:{port}/v2/models"
            wait(f"{url}/small/infer", scalar(binary=False))
            found = psutil.Process().children()
            (server,) = (one for one in found if "deepaas-run" in str(one.cmdline()))
            yield url, server


def check_large(answer: bytes) -> bool:
    """Tell whether an answer ends with the bytes of all numbers."""
    size = 4 * SIDE * SIDE
    return answer[-size:] == b"\0\0\xe0\x40" * (SIDE * SIDE) and len(answer) > size


def ask_often(url: str, body: Body, seconds: int) -> int:
    """Ask for large answers for some time; return how many came."""
    until = time.monotonic() + seconds
    count = 0
    while (began := time.monotonic()) < until:
        ask(url, body)
        count += 1
        time.sleep(max(0, began + PERIOD - time.monotonic()))
    return count


def measure_large(binaries: Path, seconds: int, clients: int) -> int:
    """Print what small calls wait beside large ones; return the wrong answers."""
    print(
        f"\n| {clients} clients with small calls, beside | answers/s "
        "| p99 of small, ms | growth of the server, MiB |\n|---|--:|--:|--:|"
    )
    with two_models(binaries) as (url, server), ThreadPoolExecutor(1) as pool:
        small, large = f"{url}/small/infer", f"{url}/large/infer"
        put(small, scalar(binary=False), clients, 1)
        alone = put(small, scalar(binary=False), clients, seconds)
        print(f"| nothing | | {alone.p99:.1f} | |")
        wrong = alone.wrong + int(not check_large(ask(large, scalar(binary=True))))
        before = server.memory_info().rss
        for name, binary in (("bytes", True), ("JSON", False)):
            other = pool.submit(ask_often, large, scalar(binary=binary), seconds)
            beside = put(small, scalar(binary=False), clients, seconds)
            rate = other.result() / seconds
            wrong += beside.wrong + beside.lost
            grown = (server.memory_info().rss - before) / 2**20
            print(
                f"| {SIDE} x {SIDE} FP32 in {name} | {rate:.1f} | {beside.p99:.1f} |"
                f" {grown:+.1f} |"
            )
    return wrong


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--clients", type=int, default=4, help="with small calls")
    add_environment_options(parser)
    options = parser.parse_args()
    load.require()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    binaries = find_ours(options)
    wrong = measure_batches(binaries, options.seconds)
    wrong += measure_large(binaries, options.seconds, options.clients)
    print(f"\n{wrong} wrong answers")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
