"""The bare loop of benchmarks.deep: no server, only inputs in batches.

    python benchmarks/deep_loop.py WORKLOAD SECONDS FILE

Draws the inputs, and writes them with the right answers and the measured rates to FILE,
as a pickle. Runs in the environment of the servers.
"""

from __future__ import annotations

import os
import pickle
import platform
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from deepaas_benchmark import deep
from PIL import Image

INPUTS = 64
DRAWN_SIDE = 256
"""Height and width of the pictures; the model crops them."""


def draw_pictures() -> list[bytes]:
    """Return PNG files of about 120 kB: as smooth as a photograph, with its noise."""
    chance = np.random.default_rng(1)
    files = []
    for _ in range(INPUTS):
        coarse = Image.fromarray(chance.integers(0, 256, (4, 4, 3), np.uint8))
        smooth = np.asarray(coarse.resize((DRAWN_SIDE, DRAWN_SIDE), Image.BICUBIC))
        noisy = smooth + chance.normal(0, 4, smooth.shape)
        files.append(deep.encode_png(noisy.clip(0, 255).astype(np.uint8)))
    return files


def draw_texts() -> list[str]:
    """Return texts of 16 to 128 words, short and long ones in any order."""
    chance = random.Random(1)
    words = ["".join(chance.choices("aeionrst", k=6)) for _ in range(2000)]
    lengths = [chance.randint(16, 128) for _ in range(INPUTS)]
    return [" ".join(chance.choices(words, k=length)) for length in lengths]


def batches(inputs: Sequence[Any], size: int, seconds: float) -> Iterator[list[Any]]:
    """Yield batches, through all inputs again and again, until the time is over."""
    first, until = 0, time.perf_counter() + seconds
    while time.perf_counter() < until:
        yield [inputs[(first + n) % len(inputs)] for n in range(size)]
        first += size


def loop(model: deep.Model, inputs: Sequence[Any], size: int, seconds: float) -> float:
    """Decode a batch, run it, and so on; return inputs per second."""
    began, count = time.perf_counter(), 0
    for batch in batches(inputs, size, seconds):
        count += len(model(batch))
    return count / (time.perf_counter() - began)


def ahead(model: deep.Model, inputs: Sequence[Any], size: int, seconds: float) -> float:
    """Decode the next batch while one runs; return inputs per second."""
    began, count = time.perf_counter(), 0
    with ThreadPoolExecutor(1) as decoder:
        waiting = None
        for batch in batches(inputs, size, seconds):
            decoded = decoder.submit(model.decode, batch)
            if waiting is not None:
                count += len(model.run(waiting.result()))
            waiting = decoded
        if waiting is not None:
            count += len(model.run(waiting.result()))
    return count / (time.perf_counter() - began)


def answers(
    model: deep.Model, inputs: Sequence[Any]
) -> tuple[list[list[float]], float, float]:
    """Return the right answers, and by how much an answer may differ from its own.

    Half precision differs with the size of a batch. The third is the share of pairs of
    inputs that would be noticed if one had the answer of the other.
    """
    singly = torch.tensor([model([one])[0] for one in inputs])
    size = deep.max_batch()
    parts = [inputs[first : first + size] for first in range(0, len(inputs), size)]
    together = torch.tensor([row for part in parts for row in model(part)])
    noise = float((singly - together).abs().max())
    distances = (singly[:, None] - singly).abs().amax(2)
    distances.fill_diagonal_(float("inf"))
    tolerance = max(float(distances.min()) / 2, 4 * noise)
    noticed = float((distances > tolerance).float().mean())
    return singly.tolist(), tolerance, noticed


def about() -> dict[str, Any]:
    """Return what ran: versions, the processor or GPU, the dimensions."""
    gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "decoder": deep.DECODER,
        "device": torch.cuda.get_device_name() if gpu else "CPU",
        "cores": os.cpu_count(),
        "size": deep.size(),
        "batch": deep.max_batch(),
    }


def main() -> None:
    workload, seconds, file = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    draw: Callable[[], Sequence[Any]] = (
        draw_pictures if workload == "pictures" else draw_texts
    )
    inputs = draw()
    model = deep.load(workload)
    right, tolerance, noticed = answers(model, inputs)
    size = deep.max_batch()
    rates = {"one by one": loop(model, inputs, 1, seconds)}
    parts = Path(os.environ["BENCHMARK_PARTS"])
    offset = parts.stat().st_size
    rates["batches"] = loop(model, inputs, size, seconds)
    end = parts.stat().st_size
    rates["batches, decoded ahead"] = ahead(model, inputs, size, seconds)
    written = parts.read_bytes()[offset:end].decode()
    with open(file, "wb") as target:
        told = about() | {"noticed": noticed}
        found = told, inputs, right, tolerance, rates, written
        pickle.dump(found, target)


if __name__ == "__main__":
    main()
