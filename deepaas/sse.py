"""The encoding of server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import re

_LINE_END = re.compile(r"\r\n|\r|\n")


def encode_event(data: bytes, name: str = "") -> bytes:
    """Returns an event whose data is one line, such as JSON; without a name, its type
    is `message`."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + data + b"\n\n"


def encode_text_event(text: str) -> bytes:
    """Returns an event whose data is a text; a surrogate in it becomes a `?`."""
    # A reader joins the lines again. No other character ends one.
    lines = _LINE_END.split(text)
    data = "".join(f"data: {line}\n" for line in lines)
    return data.encode(errors="replace") + b"\n"


def encode_comment(text: str) -> bytes:
    """Returns a line that readers ignore; it keeps a connection in use."""
    return f": {text}\n\n".encode()
