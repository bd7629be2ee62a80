"""Compares inference of a vector by the Open Inference Protocol with MLServer's.

    python -m benchmarks.inference --seconds 5

Serves a model that doubles 1,024 numbers of FP32, in one worker process each, on
127.0.0.1: ours, asked in JSON and in binary, MLServer, which reads only JSON, and the
floor (benchmarks/inference_floor.py), which does no more than this needs. Then serves
two models with `predict_batch`, and compares a request of 64 rows with single ones; and
both models alone, in a loop without a server. Makes the environments that it needs, as
benchmarks.compare does. It needs wrk, and a machine that does nothing else. The exit
code is 1 if an answer was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks import environments, load
from benchmarks.compare import CACHE, say
from benchmarks.environments import OURS
from benchmarks.servers import HOST, free_port

HEADER = "Inference-Header-Content-Length"
SIZE = 1024
ROWS = 64
START_TIMEOUT = 60
NUMBERS = struct.unpack(
    f"<{SIZE}f",
    struct.pack(f"<{SIZE}f", *(random.Random(8).uniform(-1, 1) for _ in range(SIZE))),
)

VECTOR = """
import numpy
from webargs import fields

def get_predict_args():
    return {"x": fields.List(fields.Float(), required=True)}

def predict(x):
    return {"y": numpy.asarray(x, numpy.float32) * 2}
"""

FIXED = """
import time
from webargs import fields

max_batch_size = 64

def get_predict_args():
    return {"x": fields.List(fields.Float(), required=True)}

def predict_batch(calls):
    time.sleep(0.005)
    return [{"y": sum(call["x"])} for call in calls]
"""

MATRIX = """
import numpy
from webargs import fields

max_batch_size = 64

def warm():
    global weights
    weights = numpy.random.default_rng(0).random((1024, 16384), numpy.float32)

def get_predict_args():
    return {"x": fields.List(fields.Float(), required=True)}

def predict_batch(calls):
    rows = numpy.array([call["x"] for call in calls], numpy.float32)
    return [{"y": label} for label in (rows @ weights).argmax(1)]
"""

ALONE = """
import json, sys, time

source, numbers, rows, seconds = sys.argv[1], *map(json.loads, sys.argv[2:])
model = {}
exec(source, model)
if "warm" in model:
    model["warm"]()
calls = [{"x": numbers}] * rows
model["predict_batch"](calls)
count, began = 0, time.perf_counter()
while (took := time.perf_counter() - began) < seconds:
    model["predict_batch"](calls)
    count += rows
print(count / took)
"""

MLSERVER = """
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

class Model(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        values = NumpyCodec.decode_input(payload.inputs[0])
        output = NumpyCodec.encode_output("y", values * 2)
        return InferenceResponse(model_name=self.name, outputs=[output])
"""


@dataclass(frozen=True)
class Body:
    """The body of a request for inference."""

    data: bytes
    headers: dict[str, str]


def in_json(rows: int = 0) -> Body:
    """A vector, or a batch of them, in JSON."""
    shape = [rows, SIZE] if rows else [SIZE]
    one = {"name": "x", "shape": shape, "datatype": "FP32"}
    data = list(NUMBERS) * (rows or 1)
    return Body(json.dumps({"inputs": [{**one, "data": data}]}).encode(), {})


def in_binary(rows: int = 0) -> Body:
    """The same as bytes; its answer is to be bytes too."""
    tail = struct.pack(f"<{SIZE}f", *NUMBERS) * (rows or 1)
    shape = [rows, SIZE] if rows else [SIZE]
    size = {"binary_data_size": len(tail)}
    one = {"name": "x", "shape": shape, "datatype": "FP32", "parameters": size}
    whole = {"inputs": [one], "parameters": {"binary_data_output": True}}
    head = json.dumps(whole).encode()
    return Body(head + tail, {HEADER: str(len(head))})


def ask(url: str, body: Body) -> bytes:
    request = urllib.request.Request(url, body.data, body.headers)
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: bytes = answer.read()
        return text


def check_vector(answer: bytes) -> bool:
    """Tell whether an answer holds the doubled numbers, in JSON or as bytes."""
    expected = struct.pack(f"<{SIZE}f", *(2 * number for number in NUMBERS))
    if answer[-1:] != b"}" or b'"data"' not in answer:
        return answer[-4 * SIZE :] == expected
    (output,) = json.loads(answer)["outputs"]
    # Servers write different digits: a number of FP32 needs nine at most.
    return struct.pack(f"<{SIZE}f", *output["data"]) == expected


@contextlib.contextmanager
def ours(binaries: Path, source: str) -> Iterator[str]:
    """Serve a model with our server; give the address for inference."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        (Path(folder) / "bench_model.py").write_text(source)
        port = free_port()
        command = [
            str(binaries / "deepaas-run"),
            *("--listen-ip", HOST, "--listen-port", str(port)),
            *("--model", "m=bench_model.py", "--max-queued", "10000"),
        ]
        with running(command, folder, {}):
            yield f"http://{HOST}:{port}/v2/models/m/infer"


@contextlib.contextmanager
def floor(binaries: Path) -> Iterator[str]:
    """Serve the doubling model with nothing that is not needed for it."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        port = free_port()
        script = Path(__file__).with_name("inference_floor.py")
        command = [str(binaries / "python"), str(script), str(port)]
        with running(command, folder, {}):
            yield f"http://{HOST}:{port}/v2/models/m/infer"


@contextlib.contextmanager
def mlserver(binaries: Path) -> Iterator[str]:
    """Serve the doubling model with MLServer."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        model = Path(folder) / "m"
        model.mkdir()
        settings = {"name": "m", "implementation": "bench_model.Model"}
        (model / "model-settings.json").write_text(json.dumps(settings))
        (Path(folder) / "bench_model.py").write_text(MLSERVER)
        port = free_port()
        variables = {
            "PYTHONPATH": folder,
            "MLSERVER_HOST": HOST,
            "MLSERVER_HTTP_PORT": str(port),
            "MLSERVER_GRPC_PORT": str(free_port()),
            "MLSERVER_METRICS_PORT": str(free_port()),
            "MLSERVER_DEBUG": "false",
        }
        command = [str(binaries / "mlserver"), "start", folder]
        with running(command, folder, variables):
            yield f"http://{HOST}:{port}/v2/models/m/infer"


@contextlib.contextmanager
def running(command: list[str], folder: str, more: dict[str, str]) -> Iterator[None]:
    removed = ("DEEPAAS_", "OS_DEFAULT__", "MLSERVER_", "PYTHON")
    environ = {k: v for k, v in os.environ.items() if not k.startswith(removed)}
    with (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**environ, "TMPDIR": folder, "HOME": folder, **more},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    except BaseException:
        print((Path(folder) / "log").read_text()[-2000:], file=sys.stderr)
        raise
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in psutil.wait_procs(family, 2)[1]:
            with contextlib.suppress(psutil.Error):
                child.kill()


def wait(url: str, body: Body) -> bytes:
    """Return the first answer."""
    until = time.monotonic() + START_TIMEOUT
    while True:
        try:
            return ask(url, body)
        except (OSError, urllib.error.HTTPError):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


class Measuring:
    """The runs, and the wrong answers."""

    def __init__(self, seconds: int, rounds: int) -> None:
        self.seconds = seconds
        self.rounds = rounds
        self.wrong = 0
        self.rates: dict[tuple[str, int], list[float]] = {}

    def check(self, right: bool) -> None:
        self.wrong += not right

    def put(self, name: str, url: str, body: Body, clients: int) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(body.data)
            file.flush()
            load.put(url, Path(file.name), "application/json", clients, 1, body.headers)
            seen = load.put(
                url,
                Path(file.name),
                "application/json",
                clients,
                self.seconds,
                body.headers,
            )
        self.wrong += seen.wrong + seen.lost
        self.note(name, clients, seen.calls / seen.seconds)

    def note(self, name: str, number: int, rate: float) -> None:
        """Keep a rate of a number of clients, or of rows of a model alone."""
        self.rates.setdefault((name, number), []).append(rate)

    def rate(self, name: str, clients: int) -> float:
        return median(self.rates[name, clients])


def measure_vectors(
    measuring: Measuring, binaries: Path, theirs: Path | None, clients: list[int]
) -> None:
    for number in range(measuring.rounds):
        say(f"round {number + 1}, vectors")
        with ours(binaries, VECTOR) as url:
            for name, body in (("JSON", in_json()), ("binary", in_binary())):
                measuring.check(check_vector(wait(url, body)))
                for count in clients:
                    measuring.put(f"ours, {name}", url, body, count)
        with floor(binaries) as url:
            measuring.check(check_vector(wait(url, in_json())))
            for count in clients:
                measuring.put("the floor, JSON", url, in_json(), count)
        if theirs is not None:
            with mlserver(theirs) as url:
                measuring.check(check_vector(wait(url, in_json())))
                for count in clients:
                    measuring.put("mlserver, JSON", url, in_json(), count)


def measure_batches(measuring: Measuring, binaries: Path) -> None:
    for name, source in (("5 ms", FIXED), ("1024 x 16384", MATRIX)):
        for number in range(measuring.rounds):
            say(f"round {number + 1}, batches of the model {name}")
            with ours(binaries, source) as url:
                wait(url, in_binary())
                single, batch = in_binary(), in_binary(ROWS)
                (output,) = json.loads(ask(url, in_json(ROWS)))["outputs"]
                measuring.check(output["shape"] == [ROWS, 1])
                measuring.put(f"{name}, single", url, single, 1)
                measuring.put(f"{name}, {ROWS} rows", url, batch, 1)
            for rows in (1, ROWS):
                rate = measure_alone(binaries, source, rows, measuring.seconds)
                measuring.note(f"{name}, alone", rows, rate)


def measure_alone(binaries: Path, source: str, rows: int, seconds: int) -> float:
    """Return the rows a second of a model in a loop, without a server."""
    arguments = map(json.dumps, (NUMBERS, rows, seconds))
    command = [binaries / "python", "-c", ALONE, source, *arguments]
    return float(subprocess.check_output(command, timeout=seconds + START_TIMEOUT))


def print_vectors(measuring: Measuring, clients: list[int]) -> None:
    names = list(dict.fromkeys(name for name, _ in measuring.rates))
    print("| server and form | clients | calls/s | to MLServer's JSON |")
    print("|---|--:|--:|--:|")
    for name in names:
        for count in clients:
            rate, ratio = measuring.rate(name, count), ""
            if ("mlserver, JSON", count) in measuring.rates:
                ratio = f"{rate / measuring.rate('mlserver, JSON', count):.1f}"
            print(f"| {name} | {count} | {rate:,.0f} | {ratio} |")


def print_batches(measuring: Measuring) -> None:
    print("\n| model | single, rows/s | 64 rows, rows/s | ratio | of the model alone |")
    print("|---|--:|--:|--:|--:|")
    for name in ("5 ms", "1024 x 16384"):
        single = measuring.rate(f"{name}, single", 1)
        together = measuring.rate(f"{name}, {ROWS} rows", 1) * ROWS
        ratio = together / single
        one, many = (measuring.rate(f"{name}, alone", rows) for rows in (1, ROWS))
        rates = f"{single:,.0f} | {together:,.0f}"
        print(f"| {name} | {rates} | {ratio:.1f} | {many / one:.1f} |")


def add_environment_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `find_ours` reads."""
    parser.add_argument("--environments", type=Path, default=CACHE, metavar="DIR")
    parser.add_argument("--binaries", type=Path, help="of an environment that is there")


def find_ours(options: argparse.Namespace) -> Path:
    """Return the folder of our commands, of an environment that is made if need be."""
    given: Path | None = options.binaries
    if given:
        return given.absolute()
    return environments.make(OURS, options.environments)


def main() -> int:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=5, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--without-mlserver", action="store_true")
    add_environment_options(parser)
    options = parser.parse_args()
    load.require()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    binaries = find_ours(options)
    theirs = None
    if not options.without_mlserver:
        theirs = environments.make("mlserver", options.environments)
    vectors = Measuring(options.seconds, options.rounds)
    measure_vectors(vectors, binaries, theirs, options.clients)
    batches = Measuring(options.seconds, options.rounds)
    measure_batches(batches, binaries)
    print_vectors(vectors, options.clients)
    print_batches(batches)
    wrong = vectors.wrong + batches.wrong
    print(f"\n{wrong} wrong answers")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
