"""Compares how lists of numbers are loaded with plain marshmallow.

    python -m benchmarks.lists --times 5

Loads a picture of 224 x 224 x 3 numbers (2.9 MiB of JSON) of several kinds, and prints
the shortest of so many times, in milliseconds.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from typing import Any

from marshmallow import Schema, fields

from deepaas.arguments import Arguments

WIDTH, HEIGHT, CHANNELS = 224, 224, 3


def main() -> None:
    """Measure, and print one line for each kind of list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    print(f"{'numbers':32} {'MiB':>5} {'deepaas':>9} {'marshmallow':>12}  ms")
    for name, field, values in _kinds():
        print(_row(name, field, values, times), flush=True)


def _row(name: str, field: fields.Field, values: Any, times: int) -> str:
    given = {"picture": values}
    arguments = Arguments({"picture": field})
    schema = Schema.from_dict({"picture": field})()
    assert arguments.load(given) == schema.load(given)
    size = len(json.dumps(values)) / 2**20
    ours = _shortest(lambda: arguments.load(given), times)
    theirs = _shortest(lambda: schema.load(given), times)
    return f"{name:32} {size:5.1f} {ours:9.1f} {theirs:12.1f}"


def _kinds() -> list[tuple[str, fields.Field, Any]]:
    number = random.Random(1).random
    pixels = [
        [[number() for _ in range(CHANNELS)] for _ in range(WIDTH)]
        for _ in range(HEIGHT)
    ]
    mixed = [[[round(n) or n for n in pixel] for pixel in row] for row in pixels]
    whole = [[[int(n * 256) for n in pixel] for pixel in row] for row in pixels]
    flat = [n for row in pixels for pixel in row for n in pixel]
    lists = fields.List(fields.List(fields.List(fields.Float())))
    ints = fields.List(fields.List(fields.List(fields.Int())))
    return [
        ("224 x 224 x 3 floats", lists, pixels),
        ("224 x 224 x 3 floats and ints", lists, mixed),
        ("224 x 224 x 3 ints", ints, whole),
        ("150528 floats", fields.List(fields.Float()), flat),
    ]


def _shortest(function: Callable[[], Any], times: int) -> float:
    def measure() -> float:
        began = time.perf_counter()
        function()
        return (time.perf_counter() - began) * 1000

    return min(measure() for _ in range(times))


if __name__ == "__main__":
    main()
