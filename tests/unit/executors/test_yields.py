"""From what a model yields to the pieces of a stream."""

import asyncio

import pytest

from deepaas.executors.yields import InTurn, encoder, is_iterator, stream_type


async def _numbers():
    yield 1
    yield 2


@pytest.mark.parametrize(
    ("media_type", "stream"),
    [
        (None, "application/x-ndjson"),
        ("application/json", "application/x-ndjson"),
        ("text/event-stream", "text/event-stream"),
        ("image/*", "application/octet-stream"),
        ("text/csv", "text/csv"),
    ],
)
def test_the_type_of_a_stream(media_type, stream):
    assert stream_type(media_type) == stream


@pytest.mark.parametrize(
    ("media_type", "item", "piece"),
    [
        ("application/x-ndjson", {"n": 1}, b'{"n":1}\n'),
        ("application/x-ndjson", "a\nb", b'"a\\nb"\n'),
        ("text/event-stream", {"n": 1}, b'data: {"n":1}\n\n'),
        (
            "text/event-stream",
            "a\nb\r\nc\rd",
            b"data: a\ndata: b\ndata: c\ndata: d\n\n",
        ),
        ("text/event-stream", "", b"data: \n\n"),
        ("text/event-stream", "a\x85b", "data: a\x85b\n\n".encode()),
        ("text/event-stream; x=y", "\ud800", b"data: ?\n\n"),
        ("text/csv", "a;b", b"a;b"),
        ("video/mp4", memoryview(b"x"), b"x"),
        ("video/mp4", bytearray(b""), b""),
    ],
)
def test_an_item_is_a_piece(media_type, item, piece):
    assert encoder(media_type, None)(item) == piece


def test_an_item_that_the_type_cannot_hold():
    with pytest.raises(TypeError, match="yielded a dict for video/mp4"):
        encoder("video/mp4", None)({})


@pytest.mark.parametrize("media_type", ["application/x-ndjson", "text/event-stream"])
def test_each_item_is_checked_by_the_schema(media_type):
    encode = encoder(media_type, lambda value, many: {"n": ["no"]} if value else {})
    assert encode({})
    with pytest.raises(ValueError, match="does not fit its schema"):
        encode({"n": 1})


def test_what_is_yielded():
    assert is_iterator(iter([]))
    assert is_iterator(n for n in [1])
    numbers = _numbers()
    assert is_iterator(numbers)
    for other in ([], {}, "text", b"", range(3), None):
        assert not is_iterator(other)


def test_an_asynchronous_generator_in_turn():
    loop = asyncio.new_event_loop()
    try:
        assert list(InTurn(_numbers(), loop)) == [1, 2]
        closed = []

        async def endless():
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

        items = InTurn(endless(), loop)
        assert next(items) == 1
        items.close()
        assert closed == [True]

        async def waits():
            await asyncio.Event().wait()
            yield 1

        held = InTurn(waits(), loop)
        loop.call_soon(held.cancel)
        with pytest.raises(asyncio.CancelledError):
            next(held)

        late = InTurn(waits(), loop)
        late.cancel()  # before the step that it is meant for has begun
        with pytest.raises(asyncio.CancelledError):
            next(late)
    finally:
        loop.close()
