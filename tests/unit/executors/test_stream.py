"""A stream between a worker that yields and a caller who reads."""

import asyncio

import pytest

from deepaas.errors import WorkerDied
from deepaas.executors.stream import MAX_UNREAD_BYTES, ReplyStream


class Stream:
    """A stream, and what it has told its worker."""

    def __init__(self):
        self.paused = []
        self.abandoned = 0
        self.stream = ReplyStream(self.paused.append, self.abandon)

    def abandon(self):
        self.abandoned += 1


async def test_pieces_that_wait_come_together():
    stream = Stream().stream
    for piece in (b"a", memoryview(b"b"), b""):
        stream.feed(piece)
    assert await anext(stream) == b"ab"
    stream.feed(b"c")
    stream.end()
    assert await anext(stream) == b"c"
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_reader_waits_for_a_piece():
    stream = Stream().stream
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert not reading.done()
    stream.feed(b"a")
    assert await reading == b"a"


async def test_a_worker_waits_for_a_slow_reader():
    made = Stream()
    made.stream.feed(b"x" * MAX_UNREAD_BYTES)
    assert made.paused == []
    made.stream.feed(b"x")
    made.stream.feed(b"x")
    assert made.paused == [True]
    assert len(await anext(made.stream)) == MAX_UNREAD_BYTES
    assert made.paused == [True, False]
    assert await anext(made.stream) == b"xx"


async def test_a_reader_gets_little_of_what_had_come_before_the_worker_waited():
    made = Stream()
    half = bytes(MAX_UNREAD_BYTES // 2)
    for _ in range(8):
        made.stream.feed(half)
    made.stream.end()
    sizes = [len(piece) async for piece in made.stream]
    assert sizes == [MAX_UNREAD_BYTES] * 4
    assert made.paused == [True, False]


async def test_the_worker_waits_until_the_reader_has_most_of_it():
    made = Stream()
    for _ in range(3):
        made.stream.feed(bytes(MAX_UNREAD_BYTES))
    await anext(made.stream)
    assert made.paused == [True]
    await anext(made.stream)
    assert made.paused == [True, False]


async def test_an_error_comes_after_the_pieces():
    stream = Stream().stream
    stream.feed(b"a")
    stream.end(WorkerDied("The worker died."))
    stream.end()  # what is said first, counts
    assert await anext(stream) == b"a"
    with pytest.raises(WorkerDied):
        await anext(stream)


async def test_a_reader_who_leaves_waits_until_the_model_has_stopped():
    made = Stream()
    made.stream.feed(b"x" * (MAX_UNREAD_BYTES + 1))
    leaving = asyncio.ensure_future(made.stream.aclose())
    await asyncio.sleep(0)
    assert (made.abandoned, made.paused) == (1, [True, False])
    made.stream.feed(b"late")
    assert not leaving.done()
    made.stream.end()
    await leaving
    await made.stream.aclose()
    assert made.abandoned == 1
