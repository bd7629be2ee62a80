"""Media types (RFC 9110, section 8.3.1), and lists of choices with weights."""

import mimetypes
import re
from collections.abc import Iterator

JSON = "application/json"
BINARY = "application/octet-stream"
PNG = "image/png"
NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}([ \t]*;[\t\x20-\x7e]*)?")

_WEIGHT = re.compile(r";[ \t]*q[ \t]*=([^;]*)", re.I)


def is_media_type(text: str) -> bool:
    """Tells whether a text may stand in Content-Type."""
    return _MEDIA_TYPE.fullmatch(text) is not None


def is_json(media_type: str) -> bool:
    """Tells whether a media type is JSON or built on it (RFC 6839)."""
    essence = without_parameters(media_type)
    return essence == JSON or essence.endswith("+json")


def without_parameters(media_type: str) -> str:
    """Returns a media type in lower case without its parameters."""
    return media_type.partition(";")[0].strip().lower()


def concrete(media_type: str | None, filename: str | None, text: bool = False) -> str:
    """Returns a media type without `*`: the chosen one, or a guess from the name."""
    if media_type is None or is_json(media_type) or "*" in media_type:
        guess = mimetypes.guess_type(filename)[0] if filename else None
        media_type = guess or ("text/plain" if text else BINARY)
    if text and media_type.startswith("text/") and "charset" not in media_type:
        media_type += "; charset=utf-8"
    return media_type


# -- lists such as `gzip;q=0.5, *;q=0`


def weighted(header: str) -> Iterator[tuple[str, float]]:
    """Yields the members of a header with their weights, from 0 to 1, in their order.

    It reads Accept, Accept-Encoding and the like. A weight that is missing or malformed
    is 1 (RFC 9110, section 12.4.2). Parameters after the weight were allowed once, and
    have no meaning (section 12.5.1).
    """
    for member in _members(header):
        found = _WEIGHT.search(member)
        text = (member if found is None else member[: found.start()]).strip()
        if text:
            yield text, 1.0 if found is None else _weight(found[1])


def _members(header: str) -> Iterator[str]:
    """Splits a list at its commas, except those in quotes (section 5.6.1)."""
    if '"' not in header:
        yield from header.split(",")
        return
    start, quoted, escaped = 0, False, False
    for at, char in enumerate(header):
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = quoted
        elif char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            yield header[start:at]
            start = at + 1
    yield header[start:]


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 1.0
    return weight if 0 <= weight <= 1 else 1.0  # NaN is neither
