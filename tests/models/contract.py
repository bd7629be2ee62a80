"""Does what the contract of executors asks of a model, one thing a call."""

import os
import signal
import time
from pathlib import Path

from aiohttp import web

from deepaas import progress

print("loading")

if os.environ.get("LOADING_FAILS"):
    raise OSError("the weights are gone")


def warm():
    print("warming")


def note(n, ran):
    if ran:
        with open(ran, "a") as file:
            file.write(f"{n}\n")


def wait_for(gate):
    while gate and not Path(gate).exists():
        time.sleep(0.005)


def predict(n=0, ran=None, gate=None, what="echo", **given):
    note(n, ran)
    wait_for(gate)
    return ACTIONS[what](n, **given)


def train(n=0, ran=None, gate=None, steps=0):
    note(n, ran)
    for step in range(steps):
        progress.report(step + 1, steps, loss=1.0)
    wait_for(gate)
    return {"n": n}


def fail(n):
    raise ValueError(f"{n} is bad")


def refuse(n):
    raise web.HTTPConflict(reason="it is taken")


def die(n):
    os.kill(os.getpid(), signal.SIGKILL)


def leave(n):
    os._exit(7)


def say(n):
    print("said", n)
    return n


def read(n, file):
    return Path(file.filename).read_bytes()


def write(n, folder, size):
    path = Path(folder) / "answer.bin"
    path.write_bytes(bytes([n]) * size)
    return path.open("rb")


def items(n, gate_of_last=None, breaks=False):
    for number in range(n):
        if number == n - 1:
            wait_for(gate_of_last)
        yield number
    if breaks:
        raise ValueError("broken")


ACTIONS = {
    "echo": lambda n: {"n": n, "pid": os.getpid()},
    "fail": fail,
    "refuse": refuse,
    "die": die,
    "leave": leave,
    "say": say,
    "read": read,
    "write": write,
    "items": items,
}
