"""The gateway: a process of the server that is a driver of a Ray cluster.

Ray ends the process of a driver whose cluster is lost, and has threads and signal
handlers of its own; so the driver is not the server. The gateway only carries bytes
between the server's socket and the places: actors with `exchange`, as `exchange.py` has
it. It is the only module that imports Ray.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import RayError

from deepaas.executors.connection import FrameConnection
from deepaas.executors.exchange import InOrder
from deepaas.executors.frames import Frame, pack
from deepaas.executors.place import Place
from deepaas.executors.place_messages import (
    GATEWAY_CODES,
    GATEWAY_KINDS,
    ClosePlace,
    GatewayFailed,
    GatewayMessage,
    OpenPlace,
    PlaceData,
    PlaceFacts,
    PlaceLost,
    PlaceOpened,
    PlaceWaits,
)
from deepaas.executors.worker import end_with_server

ROOM_SECONDS = 10.0
"""Seconds after which the server is told that the cluster has no room for a place."""

CLOSE_SECONDS = 2.0
"""Seconds that a place has to end its workers."""

MAX_ANSWER_SECONDS = 15.0
"""Seconds for an answer of a place, which sends one every two seconds at least."""

NODE_INTERVAL = 3.0
"""Seconds between two looks at the node of this machine."""

MAX_UNREAD_BYTES = 4 * 1024 * 1024
"""Bytes for a server that is slow to read, until the places have to wait."""

MAX_UNREAD_SECONDS = 2.0
"""Seconds that a place waits for the server. It ends itself after some more."""

MAX_CALLS = 1000
"""Calls that an actor may have open: far more than there are."""


def main() -> None:
    """Serve one server. Arguments: the address, and two descriptors."""
    address, end, lifeline = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    connection = socket.socket(fileno=end)
    for descriptor in (end, lifeline):
        os.set_inheritable(descriptor, False)
    end_with_server(lifeline)
    try:
        ray.init(address, log_to_driver=False, logging_level="warning")
    except Exception as error:  # Ray raises many kinds
        _fail(
            connection, f"the Ray cluster at {address} cannot be used: {words(error)}"
        )
        os._exit(1)
    for number in (signal.SIGINT, signal.SIGTERM):  # Ray has set handlers
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(_serve(connection))


async def _serve(connection: socket.socket) -> None:
    await Gateway(connection).serve()
    os._exit(0)  # a thread may wait for the cluster, and ray.shutdown() too


def _fail(connection: socket.socket, text: str) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(pack(GatewayFailed(text), codes=GATEWAY_CODES))


def words(error: BaseException) -> str:
    """Return the first line of an error of Ray, which may have a page."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kind = type(error).__name__
    return f"{kind}: {lines[0][:300]}" if lines else kind


class ServerConnection(FrameConnection):
    """The socket to the server, with a limit to what the server has not read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        super().connection_made(transport)
        self._room = asyncio.Event()
        self._room.set()
        assert isinstance(transport, asyncio.WriteTransport)
        transport.set_write_buffer_limits(MAX_UNREAD_BYTES)

    def pause_writing(self) -> None:
        """Note that the limit is reached."""
        self._room.clear()

    def resume_writing(self) -> None:
        """Note that the server has read most of it."""
        self._room.set()

    async def room(self) -> None:
        """Wait until the server has read most of it, for MAX_UNREAD_SECONDS."""
        if not self._room.is_set():
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._room.wait(), MAX_UNREAD_SECONDS)


class Gateway:
    """The places of one server, by their numbers."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._over = asyncio.Event()
        self._links: dict[int, Link] = {}
        self._actor = ray.remote(Place)

    async def serve(self) -> None:
        """Serve until the server closes its socket, or the node is lost."""
        self.connection = ServerConnection(
            self._end, self._on_frames, self._over.set, GATEWAY_KINDS
        )
        await self.connection.open()
        watch = asyncio.create_task(self._watch_node())
        await self._over.wait()
        watch.cancel()
        closing = [link.close() for link in self._links.values()]
        await asyncio.gather(*closing, return_exceptions=True)

    def send(self, message: GatewayMessage, body: bytes = b"") -> None:
        """Send a message to the server."""
        if not self._over.is_set():
            self.connection.write(pack(message, body, codes=GATEWAY_CODES) + body)

    def _on_frames(self, frames: list[Frame]) -> None:
        for message, body, _ in frames:
            if isinstance(message, OpenPlace):
                self._links[message.place] = Link(self, message, self._actor)
            elif (link := self._links.get(message.place)) is None:
                continue  # it was lost meanwhile
            elif isinstance(message, PlaceData):
                link.send(bytes(body))
            elif isinstance(message, ClosePlace):
                link.close_soon()

    def forget(self, place: int) -> None:
        """Forget a place that has ended."""
        self._links.pop(place, None)

    async def _watch_node(self) -> None:
        """End when the cluster has lost this machine's node: Ray never joins again."""
        own = ray.get_runtime_context().get_node_id()
        while True:
            await asyncio.sleep(NODE_INTERVAL)
            try:
                nodes = await asyncio.to_thread(ray.nodes)
            except Exception:  # the head is away: Ray ends this process after a minute
                continue
            if any(node["NodeID"] == own and not node["Alive"] for node in nodes):
                self.send(GatewayFailed("the Ray node of this machine was lost"))
                self._over.set()
                return


class Link:
    """One place: its actor, and what is on its way to it."""

    def __init__(self, gateway: Gateway, message: OpenPlace, actor: Any) -> None:
        self._gateway = gateway
        self._place = message.place
        self._message = message
        self._actor: Any = None
        self._early: list[bytes] | None = []
        """Bytes that came before the place was open."""
        self._sent = 0
        self._open_calls = 0
        self._received = InOrder(self._pass_on)
        self._ended = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._spawn(self._open(actor))

    async def _open(self, actor: Any) -> None:
        message = self._message
        options = actor.options(
            num_cpus=message.cpus,
            num_gpus=message.gpus,
            resources=dict(message.resources),
            max_restarts=0,  # the server makes another place, which has its own number
            max_task_retries=0,  # a call is begun at most once
            max_concurrency=MAX_CALLS,
            scheduling_strategy="SPREAD",
        )
        waits = asyncio.create_task(self._tell_wait())
        try:
            self._actor = await asyncio.to_thread(options.remote)
            if self._ended:
                self._kill()
                return
            facts = await self._actor.open.remote()
        except RayError as error:
            self._lose(error)
            return
        finally:
            waits.cancel()
        self._begin(facts)

    def _begin(self, facts: PlaceFacts) -> None:
        if self._ended:
            self._kill()
            return
        self._gateway.send(PlaceOpened(self._place, facts))
        early, self._early = self._early or [], None
        for data in early or [b""]:
            self.send(data)

    async def _tell_wait(self) -> None:
        """Tell the server, after a while, what the cluster has no room for."""
        await asyncio.sleep(ROOM_SECONDS)
        message = self._message
        wanted = {"CPU": message.cpus, "GPU": message.gpus, **message.resources}
        wanted = {name: number for name, number in wanted.items() if number}
        text = ", ".join(f"{name} {number:g}" for name, number in wanted.items())
        nodes = [node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]]
        if any(_has(node["Resources"], wanted) for node in nodes):
            words = f"no node of the Ray cluster has {text} free, or it starts slowly"
        else:
            words = f"no node of the Ray cluster has {text}"
        self._gateway.send(PlaceWaits(self._place, words))

    def send(self, data: bytes) -> None:
        """Send bytes to the place."""
        if self._early is not None:
            self._early.append(data)
        elif not self._ended:
            number, self._sent = self._sent, self._sent + 1
            self._open_calls += 1
            self._spawn(self._exchange(number, data))

    async def _exchange(self, number: int, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        late = loop.call_later(
            MAX_ANSWER_SECONDS, self._end, "its place does not answer"
        )
        try:
            number, data = await self._actor.exchange.remote(number, data)
        except RayError as error:
            self._lose(error)
            return
        finally:
            late.cancel()
        self._received.add(number, data)
        await self._gateway.connection.room()
        self._open_calls -= 1
        if self._open_calls == 0:
            self.send(b"")

    def _pass_on(self, data: bytes) -> None:
        if not self._ended:
            self._gateway.send(PlaceData(self._place), data)

    def _lose(self, error: RayError) -> None:
        self._end(f"the node or its place was lost (Ray: {words(error)})")

    def _end(self, text: str) -> None:
        if self._ended:
            return
        self._ended = True
        self._kill()
        self._gateway.forget(self._place)
        self._gateway.send(PlaceLost(self._place, text))

    def _kill(self) -> None:
        if self._actor is not None:
            with contextlib.suppress(Exception):  # it may be gone
                ray.kill(self._actor)

    def close_soon(self) -> None:
        """End the place."""
        self._spawn(self.close())

    async def close(self) -> None:
        """End the place, and wait for that."""
        if self._early is None and not self._ended:
            with contextlib.suppress(RayError, asyncio.TimeoutError):
                await asyncio.wait_for(_result(self._actor.close), CLOSE_SECONDS)
        self._end("it was closed")

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _has(resources: Mapping[str, float], wanted: Mapping[str, float]) -> bool:
    return all(resources.get(name, 0) >= number for name, number in wanted.items())


async def _result(method: Any) -> None:
    await method.remote()
