"""The server's side of its gateway: one process, and the links to its places."""

import asyncio
import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

from deepaas.executors.connection import FrameConnection
from deepaas.executors.frames import Frame, FrameReader, pack
from deepaas.executors.output import OutputReader
from deepaas.executors.place_messages import (
    GATEWAY_CODES,
    GATEWAY_KINDS,
    PLACE_CODES,
    PLACE_KINDS,
    ClosePlace,
    GatewayFailed,
    GatewayMessage,
    OpenPlace,
    PlaceData,
    PlaceFacts,
    PlaceLost,
    PlaceOpened,
    PlaceWaits,
    ToPlace,
)

logger = logging.getLogger(__name__)

END_SECONDS = 4.0
"""Seconds that a gateway has to end its places and itself."""

RAY_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0"}


@dataclass(frozen=True)
class Resources:
    """The resources that the cluster reserves for one place."""

    cpus: float
    gpus: float
    others: Mapping[str, float]


class LinkUser(Protocol):
    """A worker that is reached through a link."""

    def on_opened(self) -> None:
        """The place has begun, on a node."""

    def on_frame(self, frame: Frame) -> None:
        """The place has sent a message."""

    def on_lost(self, words: str) -> None:
        """The place is gone; nothing more comes from it."""


class Link:
    """The way to one place, from its order to its end."""

    def __init__(self, process: "GatewayProcess", place: int) -> None:
        self._process = process
        self._place = place
        self._reader = FrameReader(PLACE_KINDS)
        self.facts: PlaceFacts | None = None
        """Set when the place has begun."""
        self.waits: str | None = None
        """The reason why it has not begun for a while."""
        self.lost: str | None = None
        """The reason why it is gone."""
        self.users: dict[int, LinkUser] = {}
        """The workers in the place, by their numbers."""
        self.numbers = itertools.count()
        """For its workers and calls."""
        self.ended = asyncio.Event()

    def send(self, message: ToPlace, body: bytes | memoryview = b"") -> None:
        """Send a message to the place; it waits there until the place has begun."""
        if self.lost is None:
            head = pack(message, body, codes=PLACE_CODES)
            self._process.write(PlaceData(self._place), b"".join([head, body]))

    def close(self) -> None:
        """End the place; `on_lost` follows."""
        if self.lost is None:
            self._process.write(ClosePlace(self._place))

    # -- for the gateway's process

    def open(self, facts: PlaceFacts) -> None:
        """Note that the place has begun."""
        self.facts = facts
        if facts.version != (ours := version("deepaas")):
            self.lose(
                f"the node {facts.host} has deepaas {facts.version}, this server {ours}"
            )
            return
        for user in list(self.users.values()):
            user.on_opened()

    def receive(self, data: bytes | memoryview) -> None:
        """Pass on the messages that are whole with these bytes."""
        for frame in self._reader.feed(data):
            for user in self._users_of(frame):
                user.on_frame(frame)

    def _users_of(self, frame: Frame) -> list[LinkUser]:
        number = getattr(frame.message, "worker", None)
        if number is None:  # it names a call, whose number no other worker knows
            return list(self.users.values())
        user = self.users.get(number)
        return [] if user is None else [user]

    def lose(self, words: str) -> None:
        """Note that the place is gone."""
        if self.lost is not None:
            return
        self.close()
        self.lost = words
        self.ended.set()
        for user in list(self.users.values()):
            user.on_lost(words)


class GatewayProcess:
    """One process, and the links through it, which are lost when it ends."""

    def __init__(self, address: str) -> None:
        """Start the process. Raises OSError where the machine can start no more."""
        self._address = address
        self._links: dict[int, Link] = {}
        self._numbers = itertools.count()
        self._early: list[bytes] | None = []
        """Messages to send when the event loop has the socket."""
        self._failure: str | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.alive = True
        self._closing = False
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            end, other = socket.socketpair()
            ours.enter_context(end)
            theirs.enter_context(other)
            lifeline, self._lifeline = os.pipe()
            theirs.callback(os.close, lifeline)
            ours.callback(os.close, self._lifeline)
            output, printed = os.pipe()
            ours.callback(os.close, output)
            theirs.callback(os.close, printed)
            self._popen = _start(address, other.fileno(), lifeline, printed)
            ours.pop_all()
        self._output = OutputReader(output, _log)
        self._connection = FrameConnection(
            end, self._on_frames, self._on_end, GATEWAY_KINDS
        )
        self._gone = asyncio.Event()

    async def connect(self) -> None:
        """Hand it to the event loop, once."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        await asyncio.shield(self._connecting)

    async def _connect(self) -> None:
        self._output.watch()
        await self._connection.open()
        early, self._early = self._early or [], None
        for data in early:
            self._connection.write(data)

    def open_link(self, name: str, wanted: Resources) -> Link:
        """Order a place."""
        place = next(self._numbers)
        link = self._links[place] = Link(self, place)
        self.write(OpenPlace(place, name, wanted.cpus, wanted.gpus, wanted.others))
        return link

    def write(self, message: GatewayMessage, body: bytes = b"") -> None:
        """Send a message to the gateway."""
        if not self.alive or self._closing:
            return  # all its places end
        data = pack(message, body, codes=GATEWAY_CODES) + body
        if self._early is not None:
            self._early.append(data)
        else:
            self._connection.write(data)

    def _on_frames(self, frames: list[Frame]) -> None:
        for message, body, _ in frames:
            if isinstance(message, GatewayFailed):
                self._failure = message.words
                continue
            if (link := self._links.get(message.place)) is None:
                continue
            if isinstance(message, PlaceData):
                link.receive(body)
            elif isinstance(message, PlaceOpened):
                link.open(message.facts)
            elif isinstance(message, PlaceWaits):
                link.waits = message.words
                logger.warning("A place waits: %s.", message.words)
            elif isinstance(message, PlaceLost):
                del self._links[message.place]
                link.lose(message.words)

    def _on_end(self) -> None:
        if not self.alive:
            return
        self.alive = False
        # Ray may end its driver's process without a word.
        lost = f"the Ray cluster at {self._address} cannot be used, or was lost"
        words = self._failure or lost
        for link in self._links.values():
            link.lose(words)
        self._links.clear()
        self._collecting = asyncio.create_task(self._collect())

    async def _collect(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        await asyncio.to_thread(self._popen.wait)
        self._output.close()
        os.close(self._lifeline)
        self._gone.set()

    async def close(self) -> None:
        """End the process and its places."""
        await self.connect()
        if self.alive:
            self._closing = True
            self._connection.end()
        try:
            await asyncio.wait_for(self._gone.wait(), END_SECONDS)
        except asyncio.TimeoutError:  # it may still wait for the cluster
            self._popen.kill()
            await self._gone.wait()


class Gateway:
    """The gateway of a server: started when it is needed, and again when it has ended.

    All pools share it. It ends with the last of them.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._process: GatewayProcess | None = None
        self._users = 0

    def acquire(self) -> None:
        """Note that one more pool uses it."""
        self._users += 1

    async def release(self) -> None:
        """Note that a pool does not use it any longer. The last one ends it."""
        self._users -= 1
        if self._users == 0 and self._process is not None:
            await self._process.close()

    def open_link(self, name: str, wanted: Resources) -> Link:
        """Order a place. Raises OSError where no process can be started."""
        if self._process is None or not self._process.alive:
            self._process = GatewayProcess(self._address)
        return self._process.open_link(name, wanted)

    async def connect(self) -> None:
        """Hand the process to the event loop."""
        if self._process is not None:
            await self._process.connect()


def _start(address: str, end: int, lifeline: int, output: int) -> Any:
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        "from deepaas.executors.gateway import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, address, str(end), str(lifeline)],
        pass_fds=(end, lifeline),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**os.environ, **RAY_SETTINGS},
        start_new_session=True,
    )


def _log(lines: list[str]) -> None:
    """Log what Ray prints: pages of its own state where a node is lost."""
    for line in lines:
        logger.debug("[gateway] %s", line)
