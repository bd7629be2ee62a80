"""A gateway without Ray: its places live in the test's own process.

What a place and a server say to each other goes through the same bytes and the same
numbered exchanges as on a cluster.
"""

import asyncio
import contextlib

from deepaas.executors.exchange import InOrder
from deepaas.executors.gateway_process import Link
from deepaas.executors.place import Place
from deepaas.executors.place_messages import ClosePlace, PlaceData


class LocalPlace(Place):
    """It must not end the test's process, and notes which messages it has sent."""

    def __init__(self):
        self.told = []
        super().__init__()

    def _watch(self, parent):
        pass

    def _send(self, message, *more):
        self.told.append(type(message))
        super()._send(message, *more)


class LocalGateway:
    """In place of a `Gateway`."""

    def __init__(self):
        self.processes = []

    def acquire(self):
        pass

    async def release(self):
        for process in self.processes:
            await process.close()

    def open_link(self, name, wanted):
        process = LocalProcess()
        self.processes.append(process)
        process.link = Link(process, 0)
        return process.link

    async def connect(self):
        for process in self.processes:
            process.begin()

    async def until_told(self, kind):
        """Wait until each place has sent a message of a kind, and it has arrived."""
        for process in self.processes:
            await process.until_told(kind)


class LocalProcess:
    """In place of a `GatewayProcess` and the driver behind it, with one place."""

    def __init__(self):
        self._early = []
        self._place = None
        self._tasks = set()
        self._sent = self._open = 0
        self._ended = False

    def begin(self):
        if self._place is None:
            self._place = LocalPlace()
            self._received = InOrder(self._take)
            self._spawn(self._begin())

    async def _begin(self):
        self.link.open(await self._place.open())
        early, self._early = self._early, None
        for data in early or [b""]:
            self._send(data)

    def write(self, message, body=b""):
        if isinstance(message, ClosePlace):
            self._spawn(self.close())
        else:
            assert isinstance(message, PlaceData)
            if self._early is not None:
                self._early.append(bytes(body))
            else:
                self._send(bytes(body))

    def _send(self, data):
        number, self._sent = self._sent, self._sent + 1
        self._open += 1
        self._spawn(self._exchange(number, data))

    async def _exchange(self, number, data):
        number, data = await self._place.exchange(number, data)
        self._open -= 1
        if self._open == 0 and not self._ended:
            self._send(b"")
        self._received.add(number, data)

    def _take(self, data):
        if not self._ended:
            self.link.receive(data)

    async def until_told(self, kind):
        while kind not in self._place.told:  # noqa: ASYNC110 - it sets no event
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.1)

    async def close(self):
        if not self._ended:
            self._ended = True
            if self._place is not None:
                await self._place.close()
            self.link.lose("it was closed")
            for task in self._tasks - {asyncio.current_task()}:
                task.cancel()

    def _spawn(self, coroutine):
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@contextlib.contextmanager
def no_folder_left(folder):
    yield
    assert not list(folder.glob("deepaas-place-*"))
