"""Decodes long JSON in steps, so that other threads run meanwhile.

orjson holds the interpreter's lock until it is done, for a second or more with 100 MiB.
Most of a long request is numbers, so lists of numbers are cut out and decoded piece by
piece.
"""

import re
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

MIN_LIST_BYTES = 16 * 1024
"""Length from which a list of numbers is cut out."""

STEP_BYTES = 64 * 1024
"""Bytes that are decoded in one step."""

_NUMBERS = rb"-+0-9.eE,\[\]\s"


def make_token(size: int) -> re.Pattern[bytes]:
    """Returns the pattern of a string, or of `size` bytes of numbers in brackets.

    It takes a string as a whole, so that brackets in strings are not seen.
    """
    return re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|\[[%b]{%d}' % (_NUMBERS, size), re.S)


_TOKEN = make_token(MIN_LIST_BYTES)
_MORE = re.compile(rb"[%b]*" % _NUMBERS)
_BRACKET = re.compile(rb"[\[\]]")
_FLAT = bytes.maketrans(b"[]", b"  ")


def decode_long_json(text: bytes | bytearray) -> Any:
    """Decodes JSON; nested lists of numbers may become flat.

    Raises ValueError if it cannot, also for JSON that another decoder reads.
    """
    mark = secrets.token_hex(8)
    parts: list[bytes | memoryview] = []
    lists: dict[str, list[Any]] = {}
    view, done = memoryview(text), 0
    for begin, end in _find_lists(text):
        name = f"{mark}-{len(lists)}"
        try:
            lists[name] = _decode_numbers(text, begin, end)
        except ValueError:
            continue  # it holds empty lists, or is broken: orjson decides
        parts += (view[done:begin], b'"%b"' % name.encode())
        done = end
    parts.append(view[done:])
    value = orjson.loads(b"".join(parts))
    return _put_back(value, lists) if lists else value


def _find_lists(text: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yields the beginning and the end of each long list of numbers."""
    done = 0
    for match in _TOKEN.finditer(text):
        begin, end = match.span()
        if begin < done or text[begin] == ord('"'):
            continue
        while more := _MORE.match(text, end, end + STEP_BYTES).end() - end:  # type: ignore[union-attr]
            end += more
        end = _find_close(text, begin, end)
        if end - begin >= MIN_LIST_BYTES:
            yield begin, end
            done = end


def _find_close(text: bytes | bytearray, begin: int, end: int) -> int:
    """Returns the end of the list that begins there; `begin` if it has none."""
    depth = 0
    for bracket in _BRACKET.finditer(text, begin, end):
        depth += 1 if bracket[0] == b"[" else -1
        if depth == 0:
            return bracket.end()
    return begin


def _decode_numbers(text: bytes | bytearray, begin: int, end: int) -> list[Any]:
    """Returns the numbers of nested lists, as one flat list. Raises ValueError."""
    numbers: list[Any] = []
    while begin < end:
        cut = text.find(b",", min(begin + STEP_BYTES, end), end)
        cut = end if cut < 0 else cut
        piece = bytes(memoryview(text)[begin:cut]).translate(_FLAT)
        numbers += orjson.loads(b"[%b]" % piece)
        begin = cut + 1
    return numbers


def _put_back(value: Any, lists: Mapping[str, list[Any]]) -> Any:
    """Returns a request with the lists of numbers where they were."""
    if isinstance(value, str):
        return lists.get(value, value)
    if isinstance(value, list):
        return [_put_back(one, lists) for one in value]
    if isinstance(value, dict):
        return {key: _put_back(one, lists) for key, one in value.items()}
    return value
