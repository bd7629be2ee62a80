"""The floor of benchmarks.inference: HTTP, one hop to one worker, and orjson.

    python benchmarks/inference_floor.py PORT

The worker reads the JSON of a request into numpy, doubles the numbers, and writes the
JSON of the answer. There is no validation, no queue, no log and no supervision.
"""

import asyncio
import os
import socket
import struct
import sys
from collections import deque

import numpy
import orjson
from aiohttp import web

LENGTH = struct.Struct("!I")
"""The header of every message, in both directions."""


class Hop(asyncio.Protocol):
    """The parent's end of the socket."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    async def call(self, body: bytes) -> bytes:
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.writelines([LENGTH.pack(len(body)), body])
        return await answer

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= LENGTH.size:
            end = LENGTH.size + LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            answer = self._waiting.popleft()
            if not answer.cancelled():
                answer.set_result(bytes(self._received[LENGTH.size : end]))
            del self._received[:end]


def serve_calls(connection: socket.socket) -> None:
    """Run the worker until the parent has exited."""
    stream = connection.makefile("rwb")
    while header := stream.read(LENGTH.size):
        request = orjson.loads(stream.read(LENGTH.unpack(header)[0]))
        (given,) = request["inputs"]
        numbers = numpy.asarray(given["data"], numpy.float32) * 2
        output = {"name": "y", "shape": given["shape"], "datatype": "FP32"}
        answer = orjson.dumps(
            {"model_name": "m", "outputs": [{**output, "data": numbers}]},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        stream.write(LENGTH.pack(len(answer)) + answer)
        stream.flush()


async def serve(connection: socket.socket, port: int) -> None:
    """Pass every body on to the worker."""
    loop = asyncio.get_running_loop()
    _, hop = await loop.create_connection(Hop, sock=connection)

    async def infer(request: web.Request) -> web.Response:
        answer = await hop.call(await request.read())
        return web.Response(body=answer, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v2/models/{model}/infer", infer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


def main() -> None:
    ours, workers = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        serve_calls(workers)
        return
    workers.close()
    asyncio.run(serve(ours, int(sys.argv[1])))


if __name__ == "__main__":
    main()
