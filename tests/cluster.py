"""A real Ray cluster of several nodes on this machine, for tests.

Ray listens on the outward address of a machine, also when it is told not to. So a
cluster is started only in a network namespace that has nothing but loopback: this
process enters one first, and everything that it starts then is in it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import importlib.util
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psutil

from tests.server import ROOT

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 1
START_TIMEOUT = 100.0
OBJECT_STORE_BYTES = 80_000_000
DEAD_SECONDS = 3
"""Seconds after which the cluster takes a node for dead."""

RAY = """
from ray._private import services
get_node = services.get_node
def get_node_later(*args):
    for last in (False, False, False, True):
        try:
            return get_node(*args)
        except RuntimeError:
            if last:
                raise
services.get_node = get_node_later
from ray.scripts.scripts import main
main()
"""
"""The command `ray`. It gives up after 30 s, which is too short on a busy machine."""

SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": str(DEAD_SECONDS),
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    "RAY_enable_worker_prestart": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_DISABLE_DOCKER_CPU_WARNING": "1",
    "RAY_memory_monitor_refresh_ms": "0",
}
"""Of each process: the nodes' and the gateway's. In place of a minute or more, the
loss of a node or the head is known after some seconds."""


def absent() -> str | None:
    """The reason why no cluster can be started here, None if one can."""
    if importlib.util.find_spec("ray") is None:
        return "Ray is missing: pip install 'deepaas[ray]'"
    try:
        with network():
            return None
    except OSError as error:
        return f"no network namespace can be made: {error.strerror}"


@contextlib.contextmanager
def network() -> Iterator[None]:
    """Enter a network namespace with nothing but loopback, and leave it at the end.

    Only this thread is in it, and what it starts: processes and threads.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        try:
            _raise_loopback()
            yield
        finally:
            libc.setns(before, CLONE_NEWNET)
    finally:
        os.close(before)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        flags = struct.pack("16sh", b"lo", IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, flags)


class Node:
    """One node: its raylet, and what belongs to it."""

    def __init__(self, directory: Path, *options: str, head: bool = False) -> None:
        self.head = head
        self._output: IO[str] = (directory / f"node-{uuid.uuid4().hex[:6]}").open("w+")
        temporary = directory / "tmp"
        temporary.mkdir(exist_ok=True)
        self._keeper = subprocess.Popen(
            [
                *(sys.executable, str(ROOT / "tests" / "keeper.py")),
                *(sys.executable, "-c", RAY, "start"),
                *("--node-ip-address=127.0.0.1", "--disable-usage-stats"),
                f"--object-store-memory={OBJECT_STORE_BYTES}",
                *options,
            ],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **SETTINGS, "TMPDIR": str(temporary)},
            cwd=directory,
        )

    def wait(self, deadline: float) -> None:
        """Wait until it has begun."""
        while "Ray runtime started" not in self.output():
            assert self._keeper.poll() is None, self.output()
            assert time.monotonic() < deadline, self.output()
            assert "rror" not in self.output() or self.processes(), self.output()
            time.sleep(0.05)

    def output(self) -> str:
        self._output.flush()
        return Path(self._output.name).read_text()

    def processes(self) -> list[psutil.Process]:
        """All processes of the node, actors and what they started among them."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self._keeper.pid).children(recursive=True)
        return []

    def raylet(self) -> psutil.Process:
        return self._named("raylet")

    def gcs(self) -> psutil.Process:
        return self._named("gcs_server")

    def _named(self, name: str) -> psutil.Process:
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == name:
                    return process
        raise AssertionError(f"the node has no {name}")

    def places(self) -> list[psutil.Process]:
        """The actors, oldest first."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("ray::Place" in word for word in process.cmdline()):
                    found.append(process)
        return found

    def models(self) -> list[psutil.Process]:
        """The worker processes of models."""
        found = []
        for place in self.places():
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in place.children():
                    if "deepaas.executors.worker" in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def kill_raylet(self) -> None:
        """End the raylet alone, as a fault would."""
        self.raylet().send_signal(signal.SIGKILL)

    def close(self) -> None:
        """End the node and all that it has started."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait(20)
        self._output.close()


class Cluster:
    """A head without CPUs, and nodes with two each, in one namespace."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.nodes: list[Node] = []
        # Ray looks for a head with the same address among all processes of the machine.
        self._port = random.randrange(20000, 30000)  # below are ports of its workers
        self.address = f"127.0.0.1:{self._port}"
        self.head = self._start_head()

    def _start_head(self) -> Node:
        return self._start(
            *("--head", f"--port={self._port}", "--num-cpus=0"),
            *("--include-dashboard=false", f"--temp-dir={self.directory}"),
            head=True,
        )

    def add_node(self, *options: str, cpus: int = 2) -> Node:
        [node] = self.add_nodes(1, *options, cpus=cpus)
        return node

    def add_nodes(self, count: int, *options: str, cpus: int = 2) -> list[Node]:
        """Start nodes, one after another: at once they choose the same ports."""
        options = (f"--address={self.address}", f"--num-cpus={cpus}", *options)
        nodes = []
        for _ in range(count):
            nodes.append(self._start(*options))
            self.nodes.append(nodes[-1])
        return nodes

    def _start(self, *options: str, head: bool = False) -> Node:
        """Start a node; again if Ray gives up after the 30 s that it allows itself."""
        for last in (False, False, True):
            node = Node(self.directory, *options, head=head)
            try:
                node.wait(time.monotonic() + START_TIMEOUT)
            except AssertionError as error:
                node.close()
                if last:
                    raise
                print(f"A Ray node did not start, and is tried again: {error}")
            else:
                return node
        raise AssertionError

    def places(self) -> list[psutil.Process]:
        return [place for node in self.nodes for place in node.places()]

    def models(self) -> list[psutil.Process]:
        return [model for node in self.nodes for model in node.models()]

    def place_folders(self) -> list[Path]:
        """Return the folders of the places' temporary files."""
        return list((self.directory / "tmp").glob("deepaas-place-*"))

    def remove(self, node: Node) -> None:
        self.nodes.remove(node)
        node.close()

    def restart_head(self) -> None:
        self.head = self._start_head()

    def close(self) -> None:
        for node in [*self.nodes, self.head]:
            node.close()
