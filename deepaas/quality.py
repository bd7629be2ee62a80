"""Headers that list choices with a quality, such as `gzip;q=0.5, *;q=0`."""

import functools
import re
from collections.abc import Iterator

_WEIGHT = re.compile(r";[ \t]*q[ \t]*=([^;]*)", re.I)

_IMPLIED = 1e-9
"""Weight of an answer without a coding, where the caller gives it none."""


def weighted(header: str) -> Iterator[tuple[str, float]]:
    """Yield the members of a header with their weights, from 0 to 1, in their order.

    A weight that is missing or malformed is 1 (RFC 9110, section 12.4.2). Parameters
    after the weight were allowed once, and have no meaning (section 12.5.1).
    """
    for member in _members(header):
        found = _WEIGHT.search(member)
        text = (member if found is None else member[: found.start()]).strip()
        if text:
            yield text, 1.0 if found is None else _weight(found[1])


def _members(header: str) -> Iterator[str]:
    """Split a list at its commas, except those in quotes (section 5.6.1)."""
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


@functools.lru_cache(maxsize=256)
def gzip_weights(accept_encoding: str) -> tuple[float, float]:
    """Return the weights of gzip and of no coding at all (RFC 9110, section 12.5.3).

    0 means not acceptable.
    """
    weights: dict[str, float] = {}
    for coding, weight in weighted(accept_encoding.lower()):
        weights.setdefault("gzip" if coding == "x-gzip" else coding, weight)
    others = weights.get("*")
    gzip = weights.get("gzip", others or 0.0)
    plain = weights.get("identity", 0.0 if others == 0 else _IMPLIED)
    return gzip, plain
