"""Frames come out whole; the pieces in which they come do not matter."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepaas.executors.frames import READ_BYTES, FrameReader, pack, unpack
from deepaas.executors.messages import Call, Piece, Raised, Reply

BODIES = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([READ_BYTES - 100, READ_BYTES, 3 * READ_BYTES]).map(bytes),
)


def receive(reader, data, sizes):
    """Give the reader the data in pieces of these sizes, as a socket would."""
    frames, sizes = [], iter(sizes)
    while data:
        buffer = reader.buffer()
        count = min(len(buffer), len(data), next(sizes, len(buffer)))
        buffer[:count] = data[:count]
        frames += reader.received(count)
        data = data[count:]
    return frames


@given(st.lists(BODIES, max_size=5), st.lists(st.integers(1, 2 * READ_BYTES)))
def test_frames_come_out_whole_once_and_in_order(bodies, sizes):
    reader = FrameReader()
    data = b"".join(
        pack(Raised("E", str(n), ""), body, float(n)) + body
        for n, body in enumerate(bodies)
    )
    frames = receive(reader, data, sizes)
    assert [bytes(frame.body) for frame in frames] == bodies
    assert [frame.message.message for frame in frames] == [
        str(n) for n in range(len(bodies))
    ]
    assert [frame.seconds for frame in frames] == list(range(len(bodies)))


@pytest.mark.parametrize("size", [10, 3 * READ_BYTES])
def test_a_body_stays_valid_after_later_pieces(size):
    reader = FrameReader()
    first, second = b"a" * size, b"b" * size
    data = pack(Piece(), first) + first
    [frame] = receive(reader, data, [])
    receive(reader, pack(Piece(), second) + second, [])
    assert bytes(frame.body) == first


def test_a_header_alone_is_not_a_frame():
    reader = FrameReader()
    assert receive(reader, pack(Piece(), b"x"), [5]) == []


@pytest.mark.parametrize(
    "message",
    [
        Call("predict", {"n": 1}, "image/*", True),
        Reply("text/plain", path="/x", size=3),
    ],
)
def test_a_message_is_read_as_it_was_written(message):
    [frame] = receive(FrameReader(), pack(message), [])
    assert frame.message == message
    assert type(frame.message) is type(message)


def test_what_cannot_be_pickled_is_not_sent():
    with pytest.raises(Exception, match="pickle"):
        pack(Call("predict", {"n": lambda: 1}))


def test_what_does_not_unpickle_raises_as_the_author_has_it():
    fields = pack(Call("predict", {}))
    with pytest.raises(Exception):  # noqa: B017, PT011 - pickle has many
        unpack(1, fields[:3])
