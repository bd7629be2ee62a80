"""Measures the cost of each part of a small call by leaving it out.

    python -m benchmarks.parts --clients 16

Serves `echo` with one worker, and prints the processor time that the server's own
process takes for a call. What is left out is replaced, when the server starts, by the
least that still answers rightly. Needs wrk, as benchmarks.compare does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass

import psutil

from benchmarks import compare, environments, load
from benchmarks.running import running
from benchmarks.servers import SERVERS, Deepaas, Server, Start
from benchmarks.workloads import WORKLOADS

ANSWER = """
from deepaas.executors import Reply
answer = Reply("application/json", b'{"status": "OK", "predictions": "7"}')
"""

NO_SOCKET = (
    ANSWER
    + """
import asyncio
from deepaas.executors.frames import pack
from deepaas.executors.local_worker import LocalWorker

frame = pack(answer._replace(body=None), answer.body, 1e-5) + answer.body

class Silent:
    def __init__(self, inner):
        self.inner = inner
    def write(self, data):
        pass
    def issue(self, calls, together):
        pass
    def __getattr__(self, name):
        return getattr(self.inner, name)

def hear(worker, number):
    heard = frame * number
    connection = worker._connection.inner
    connection.get_buffer(-1)[:len(heard)] = heard
    connection.buffer_updated(len(heard))

send = LocalWorker.send
def send_nothing(self, calls):
    if not isinstance(self._connection, Silent):
        self._connection = Silent(self._connection)
        self._tickets = Silent(self._tickets)
    send(self, calls)
    asyncio.get_running_loop().call_soon(hear, self, len(calls))
LocalWorker.send = send_nothing
"""
)

NO_PREFETCH = """
from deepaas.executors.local_worker import LocalWorker
LocalWorker.room = lambda self, seconds: 1
"""

NO_EXECUTOR = (
    ANSWER
    + """
from deepaas.executors.executor import QueuedExecutor
async def call(self, *args, **kwargs):
    return answer
QueuedExecutor.call = call
"""
)

NO_ARGUMENTS = """
from deepaas import predictions
from deepaas.api import deepaas_v2
class Parsing:
    async def __aenter__(self):
        return predictions.Values({})
    async def __aexit__(self, *error):
        pass
deepaas_v2.Parsing = lambda *args: Parsing()
predictions.load = lambda *args: {"n": 7}
"""

NO_ACCESS_LOG = """
from deepaas.api.access_log import AccessLog
AccessLog.note_call = AccessLog.note_request = lambda *args: None
"""


@dataclass(frozen=True)
class Reduced(Deepaas):
    """Ours, with something left out."""

    patch: str = ""

    def command(self, start: Start) -> list[str]:
        _, *options = super().command(start)
        code = f"{self.patch}\nfrom deepaas.cmd.run import main\nmain()\n"
        return [str(start.binaries / "python"), "-c", code, *options]


def reduced(name: str, *patches: str) -> Server:
    return Reduced(name, environments.OURS, patch="".join(patches))


VARIANTS: list[Server] = [
    SERVERS["floor"],
    reduced("all of it"),
    reduced("more: a worker gets a call only when it has answered", NO_PREFETCH),
    reduced("no counting, no log", NO_ACCESS_LOG),
    reduced("no arguments read", NO_ARGUMENTS),
    reduced("no socket to the worker: the answer comes by itself", NO_SOCKET),
    reduced("no executor: no queue, no worker", NO_EXECUTOR),
    reduced("none of these", NO_EXECUTOR, NO_ARGUMENTS, NO_ACCESS_LOG),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    options = parser.parse_args()
    load.require()
    binaries = environments.make(environments.OURS, compare.CACHE)
    costs: dict[str, list[float]] = {variant.name: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant in VARIANTS:
            with running(variant, WORKLOADS["echo"], binaries) as server:
                process = psutil.Process(server.pid)
                server.put_load(options.clients, 1)
                before = process.cpu_times()
                calls = server.put_load(options.clients, options.seconds).calls
                after = process.cpu_times()
            seconds = sum(after[:2]) - sum(before[:2])
            costs[variant.name].append(1e6 * seconds / calls)
    print("| the server's process | µs a call | least | most |\n|---|--:|--:|--:|")
    for name, found in costs.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle:.0f} | {min(found):.0f} | {max(found):.0f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
