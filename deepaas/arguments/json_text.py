"""JSON as text: charsets, and what is wrong with a text."""

import codecs
import json
import json.scanner
import re
from collections.abc import Callable
from typing import Any

from deepaas.errors import InvalidArguments

REFUSED_CHARSETS = (
    "idna",
    "punycode",
    "raw-unicode-escape",
    "undefined",
    "unicode-escape",
    "utf-7",
)
"""Codecs of Python that are not charsets of texts; some take quadratic time."""

MAX_LOCKED_CHARS = 1024 * 1024
"""Characters of JSON from which decoding releases the interpreter's lock."""

_UNICODE = re.compile(r"utf-(8|16|32)\b")


class JSONPart(str):
    """The text of a form's part that says it is JSON, to be decoded later."""

    __slots__ = ()


def decode(text: bytes | bytearray, charset: str) -> str:
    """Decode a text. Raises UnicodeError, or LookupError for an unknown charset."""
    check_charset(charset)
    return text.decode(charset)


def check_charset(charset: str) -> str:
    """Return the name of a charset. Raises LookupError for an unknown one."""
    name = "" if "\0" in charset else codecs.lookup(charset).name
    if not name or name in REFUSED_CHARSETS:
        raise LookupError(f"unknown encoding: {charset!r}")
    return name


def parse_json(
    text: bytes | bytearray,
    charset: str | None,
    decode: Callable[[str], Any] | None = None,
) -> dict[str, Any]:
    """Read JSON, by `decode_json` unless another function is given.

    Raises InvalidArguments, or LookupError for an unknown charset.
    """
    if not text or text.isspace():
        return {}
    try:
        value = (decode or decode_json)(decode_json_text(text, charset))
    except (ValueError, RecursionError) as error:
        messages = ["Invalid JSON body.", _explain(error)]
        raise InvalidArguments({"json": messages}, status=400) from error
    if not isinstance(value, dict):
        raise InvalidArguments({"json": ["Must be a JSON object."]})
    return value


def decode_json_text(text: bytes | bytearray, charset: str | None) -> str:
    """Decode the text of JSON by its declared charset; Unicode ones are detected.

    Raises UnicodeError, or LookupError for an unknown charset.
    """
    if charset is None or _UNICODE.match(check_charset(charset)):
        if text[:1].isascii() and 0 not in text[:2]:  # only UTF-8 begins so
            return text.decode("utf-8", "surrogatepass")
        return text.decode(json.detect_encoding(text), "surrogatepass")
    return text.decode(charset)


def decode_json(text: str) -> Any:
    """Decode JSON, NaN and infinities included.

    Raises ValueError or RecursionError; TypeError for a value that is not text.
    """
    return (_DECODER if len(text) <= MAX_LOCKED_CHARS else _LONG_DECODER).decode(text)


def decode_json_at_once(text: str) -> Any:
    """Do what `decode_json` does, but hold the interpreter's lock all the time."""
    return _DECODER.decode(text)


def _explain(error: ValueError | RecursionError) -> str:
    """Say what is wrong with a JSON text, and where."""
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}."
    if isinstance(error, UnicodeError):
        return f"It cannot be decoded: {error}."
    if isinstance(error, RecursionError):
        return "It is nested too deeply."
    return "A number has too many digits."


_DECODER = json.JSONDecoder()

# The scanner in C is up to thirty times as fast, and holds the interpreter's lock.
_LONG_DECODER = json.JSONDecoder()
_LONG_DECODER.scan_once = json.scanner.py_make_scanner(  # type: ignore[attr-defined]
    _LONG_DECODER
)
