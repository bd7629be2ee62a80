"""Replies that are streams, as they are sent to the caller."""

import asyncio

import aiohttp
import pytest
from aiohttp import test_utils, web

from deepaas.api.responses import send
from deepaas.errors import ModelRaised
from deepaas.executors import Reply


async def pieces(count, error=None):
    for _ in range(count):
        yield b"abc"
    if error is not None:
        raise error


def ask(reply):
    """Return the headers and the body of the answer that sends this reply."""

    async def answer(request):
        return await send(request, reply())

    async def scenario():
        app = web.Application()
        app.router.add_get("/", answer)
        async with (
            test_utils.TestServer(app, host="127.0.0.1") as server,
            aiohttp.ClientSession() as session,
            session.get(server.make_url("/")) as response,
        ):
            return response.headers, await response.read()

    return asyncio.run(scenario())


def test_a_stream_whose_size_is_known_has_a_length():
    headers, body = ask(lambda: Reply("video/mp4", stream=pieces(2), size=6))
    assert headers["Content-Length"] == "6"
    assert body == b"abcabc"


def test_one_whose_size_is_not_known_has_none():
    headers, body = ask(lambda: Reply("video/mp4", stream=pieces(2)))
    assert "Content-Length" not in headers
    assert body == b"abcabc"


@pytest.mark.parametrize("media_type", ["video/mp4", "application/x-ndjson"])
def test_one_that_breaks_off_does_not_look_whole(media_type):
    def broken():
        return Reply(media_type, stream=pieces(1, ModelRaised("no")), size=6)

    with pytest.raises(aiohttp.ClientError):
        ask(broken)
