"""One large upload, while another client calls a trivial model 20 times a second.

    python benchmarks/upload.py --mebibytes 1024
    python benchmarks/upload.py --mebibytes 100 --json

With `--json`, it is a list of numbers in JSON. Prints whether the hash, or the sum, is
right, by how much the server's peak memory grew, and how long the other client waited.
Then kills the reader of a stream, and prints how long it took until the model had
stopped. The exit code is 1 if a bound of ours is broken.
"""

import argparse
import asyncio
import hashlib
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import aiohttp

MAX_MEMORY_GROWTH = 32
"""Limit of the growth of the server's peak memory, in MiB."""

MAX_LATENCY = 0.050
"""Limit of the other client's 99th percentile, in seconds."""

MAX_STOP_SECONDS = 1.0
"""Limit of the time until the `finally` of a model has run whose reader was killed."""

Upload: TypeAlias = Callable[[aiohttp.ClientSession, str, int], Awaitable[bool]]
"""Sends so many MiB, and tells whether the answer is right."""

UPLOAD_PIECE = os.urandom(1024 * 1024)

MODEL = """
import hashlib
import time
from webargs import fields

def get_predict_args():
    return {
        "data": fields.Field(type="file", location="form"),
        "items": fields.Int(),
        "numbers": fields.List(fields.Float()),
    }

def predict(data=None, items=0, numbers=None):
    if numbers:
        return sum(numbers)
    if items:
        return yields(items)
    if data is None:
        return 1
    with open(data.filename, "rb") as file:
        found = hashlib.sha256()
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()

def yields(items):
    try:
        for item in range(items):
            yield item
            time.sleep(30)
    finally:
        print("stopped", time.time(), flush=True)
"""


class Server:
    """A `deepaas-run` with two models that do the same."""

    def __init__(self, folder: Path) -> None:
        model = folder / "model.py"
        model.write_text(MODEL)
        self.log = folder / "log"
        command = [
            *(Path(sys.executable).parent / "deepaas-run", "--listen-port", "0"),
            *("--model", f"large={model}", "--model", f"small={model}"),
            *("--model-name", "large", "--model-name", "small"),
            *("--state-dir", folder / "state", "--raw-predictions"),
            *("--client-max-size", "0"),
        ]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(rb"http://\S+/v2/models/", line):
                self.url = found[0].decode()
                return
        raise SystemExit(f"no start:\n{self.log.read_text()[-2000:]}")

    def peak(self) -> float:
        """Return the peak of its memory since the last call, in MiB."""
        place = Path(f"/proc/{self.process.pid}")
        found = re.search(r"VmHWM:\s+(\d+) kB", (place / "status").read_text())
        (place / "clear_refs").write_text("5")
        assert found is not None
        return int(found[1]) / 1024

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


async def ask(session: aiohttp.ClientSession, url: str, waits: list[float]) -> None:
    while True:
        began = time.perf_counter()
        async with session.post(f"{url}small/predict") as answer:
            await answer.read()
            assert answer.status == 200
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)


async def upload(session: aiohttp.ClientSession, url: str, mebibytes: int) -> bool:
    found = hashlib.sha256()

    async def content() -> AsyncIterator[bytes]:
        for _ in range(mebibytes):
            await asyncio.to_thread(found.update, UPLOAD_PIECE)
            yield UPLOAD_PIECE

    form = aiohttp.FormData()
    form.add_field("data", content(), filename="large.bin")
    async with session.post(f"{url}large/predict", data=form) as answer:
        told = await answer.text()
        if found.hexdigest() not in told:
            print(answer.status, told[:500])
        return found.hexdigest() in told


async def upload_json(session: aiohttp.ClientSession, url: str, mebibytes: int) -> bool:
    piece = b"1.5," * (1024 * 256)

    async def content() -> AsyncIterator[bytes]:
        yield b'{"numbers": ['
        for _ in range(mebibytes):
            yield piece
        yield b"1.5]}"

    headers = {"Content-Type": "application/json"}
    where = f"{url}large/predict"
    async with session.post(where, data=content(), headers=headers) as answer:
        told = await answer.text()
        total = 1.5 * (len(piece) // 4 * mebibytes + 1)
        if str(total) not in told:
            print(answer.status, told[:500])
        return str(total) in told


async def both(
    server: Server, mebibytes: int, send: Upload
) -> tuple[bool, float, list[float]]:
    waits: list[float] = []
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        other = asyncio.create_task(ask(session, server.url, waits))
        await asyncio.sleep(1)
        before = server.peak()
        right = await send(session, server.url, mebibytes)
        grown = server.peak() - before
        other.cancel()
    return right, grown, waits


def stop_reading(server: Server) -> float:
    """Kill a curl after its first line; return for how long the model went on."""
    curl = subprocess.Popen(
        ["curl", "-sN", "-X", "POST", f"{server.url}small/predict?items=9"],
        stdout=subprocess.PIPE,
    )
    assert curl.stdout is not None
    curl.stdout.readline()
    curl.kill()
    killed = time.time()
    curl.wait()
    curl.stdout.close()
    while time.time() < killed + 40:
        if found := re.search(r"stopped ([\d.]+)", server.log.read_text()):
            return float(found[1]) - killed
        time.sleep(0.01)
    return float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mebibytes", type=int, default=1024)
    parser.add_argument("--json", action="store_true", help="send JSON, not a file")
    options = parser.parse_args()
    send = upload_json if options.json else upload
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            right, grown, waits = asyncio.run(both(server, options.mebibytes, send))
            stopped = stop_reading(server)
        finally:
            server.close()
    p99 = statistics.quantiles(waits, n=100)[98]
    print(
        "| MiB | hash | peak memory, MiB | other's calls | p50 ms | p99 ms | max ms |"
    )
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {options.mebibytes} | {'right' if right else 'WRONG'} | {grown:+.1f} "
        f"| {len(waits)} | {statistics.median(waits) * 1e3:.1f} | {p99 * 1e3:.1f} "
        f"| {max(waits) * 1e3:.1f} |"
    )
    print(f"\nA stream whose reader was killed had stopped after {stopped:.3f} s.")
    sys.exit(
        not (
            right
            and grown < MAX_MEMORY_GROWTH
            and p99 < MAX_LATENCY
            and stopped < MAX_STOP_SECONDS
        )
    )


if __name__ == "__main__":
    main()
