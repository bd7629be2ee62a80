"""The encoding of server-sent events, read back as the standard has it."""

import pytest

from deepaas.sse import encode_comment, encode_event, encode_text_event


def read(stream: bytes) -> list[tuple[str, str]]:
    """Returns the events of a stream as a browser sees them: type and data."""
    events = []
    kind, data = "message", []
    for line in stream.decode().replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line and data:
            events.append((kind, "\n".join(data)))
            kind, data = "message", []
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)
    return events


def test_json():
    assert read(encode_event(b'{"n":1}')) == [("message", '{"n":1}')]
    assert read(encode_event(b"[]", "error")) == [("error", "[]")]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("", ""),
        ("one", "one"),
        (" spaces kept ", " spaces kept "),
        ("a\nb\r\nc\rd", "a\nb\nc\nd"),
        ("ends\n", "ends\n"),
        ("event: x\n\ndata: y", "event: x\n\ndata: y"),
        ("\x0b\x0c\x85\u2028", "\x0b\x0c\x85\u2028"),
        ("\ud800", "?"),
    ],
)
def test_text(text, data):
    both = encode_text_event(text) + encode_text_event("next")
    assert read(both) == [("message", data), ("message", "next")]


def test_a_comment_is_not_an_event():
    stream = encode_event(b"1") + encode_comment("nothing new") + encode_event(b"2")
    assert read(stream) == [("message", "1"), ("message", "2")]
