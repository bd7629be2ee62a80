"""The floor: HTTP and one hop to one worker process, and nothing else.

    python benchmarks/floor.py WORKLOAD PORT

No validation, no log, no temporary file, no supervision of the worker.
"""

import asyncio
import json
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from deepaas_benchmark import work

LENGTH = struct.Struct("!I")
"""The header of every message, in both directions."""


class Hop(asyncio.Protocol):
    """The parent's end of the socket. A model gets one call at a time, in order."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        self._running: asyncio.Future[bytes] | None = None
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    async def call(self, body: bytes) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((body, answer))
        if self._running is None:
            self._send()
        return await answer

    def _send(self) -> None:
        body, self._running = self._waiting.popleft()
        self._transport.writelines([LENGTH.pack(len(body)), body])

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) < LENGTH.size:
            return
        if len(self._received) < LENGTH.size + LENGTH.unpack_from(self._received)[0]:
            return
        assert self._running is not None
        if not self._running.cancelled():
            self._running.set_result(bytes(self._received[LENGTH.size :]))
        self._received.clear()
        self._running = None
        if self._waiting:
            self._send()


def read(workload: str, body: bytes) -> Any:
    """Return the input of the model from a request body."""
    if workload == "upload":
        boundary = body[: body.index(b"\r\n")]
        start = body.index(b"\r\n\r\n") + 4
        return body[start : body.rindex(b"\r\n" + boundary)]
    return json.loads(body)["row" if workload == "tabular" else "n"]


def serve_calls(connection: socket.socket, workload: str) -> None:
    """Run the worker until the parent has exited."""
    compute: Callable[[Any], Any] = work.LOADERS[workload]()
    stream = connection.makefile("rwb")
    while header := stream.read(LENGTH.size):
        value = read(workload, stream.read(LENGTH.unpack(header)[0]))
        answer = json.dumps({"predictions": compute(value)}).encode()
        stream.write(LENGTH.pack(len(answer)) + answer)
        stream.flush()


async def make_app(connection: socket.socket) -> web.Application:
    loop = asyncio.get_running_loop()
    _, hop = await loop.create_connection(Hop, sock=connection)

    async def predict(request: web.Request) -> web.Response:
        answer = await hop.call(await request.read())
        return web.Response(body=answer, content_type="application/json")

    app = web.Application(client_max_size=2**30)
    app.router.add_post("/predict", predict)
    return app


if __name__ == "__main__":
    parents_end, workers_end = socket.socketpair()
    if os.fork() == 0:
        parents_end.close()
        serve_calls(workers_end, sys.argv[1])
        os._exit(0)
    workers_end.close()
    app = make_app(parents_end)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=None)
