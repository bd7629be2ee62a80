"""The text of a body: its charset, JSON, and forms that are not multipart."""

import codecs
import json
import json.scanner
import re
import urllib.parse
from typing import Any

from multidict import MultiDict

from deepaas.errors import BodyTooLarge, InvalidArguments

MAX_FIELDS = 100_000
"""Most fields that a urlencoded form may have."""

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

JSON_AS_FORM = (
    "The body is JSON, but was sent as a form: "
    "add the header Content-Type: application/json."
)


class JSONPart(str):
    """The text of a form's part that says it is JSON, to be decoded later."""

    __slots__ = ()


def is_json_type(media_type: str) -> bool:
    """Tell whether a media type without parameters is JSON (RFC 6839)."""
    return media_type == "application/json" or media_type.endswith("+json")


def decode(text: bytes | bytearray, charset: str) -> str:
    """Decode a text. Raises UnicodeError, or LookupError for an unknown charset."""
    _check_charset(charset)
    return text.decode(charset)


def _check_charset(charset: str) -> str:
    name = "" if "\0" in charset else codecs.lookup(charset).name
    if not name or name in REFUSED_CHARSETS:
        raise LookupError(f"unknown encoding: {charset!r}")
    return name


# -- forms


def parse_form(text: bytes | bytearray, charset: str | None) -> MultiDict[Any]:
    """Read a form. Raises BodyTooLarge, InvalidArguments, UnicodeError, LookupError."""
    charset = charset or "utf-8"
    whole = decode(text.rstrip(), charset)
    try:
        pairs = urllib.parse.parse_qsl(
            whole,
            keep_blank_values=True,
            encoding=charset,
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeError:
        raise
    except ValueError as error:
        raise BodyTooLarge(f"The form has more than {MAX_FIELDS} fields.") from error
    if _is_json_text(whole) or (len(pairs) == 1 and _is_json_field(*pairs[0])):
        raise InvalidArguments({"json": [JSON_AS_FORM]})
    return MultiDict(pairs)


def _looks_like_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]")


def _is_json_text(text: str) -> bool:
    if not _looks_like_json(text):
        return False
    try:
        decode_json(text)
    except (ValueError, RecursionError):
        return False
    return True


def _is_json_field(name: str, value: str) -> bool:
    """Tell whether a form's only field is JSON without a name, perhaps broken."""
    return not value and _looks_like_json(name)


# -- JSON


def parse_json(text: bytes | bytearray, charset: str | None) -> dict[str, Any]:
    """Read JSON. Raises InvalidArguments, or LookupError for an unknown charset."""
    if not text or text.isspace():
        return {}
    try:
        value = decode_json(decode_json_text(text, charset))
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
    if charset is None or _UNICODE.match(_check_charset(charset)):
        return text.decode(json.detect_encoding(text), "surrogatepass")
    return text.decode(charset)


def decode_json(text: str) -> Any:
    """Decode JSON, NaN and infinities included.

    Raises ValueError or RecursionError; TypeError for a value that is not text.
    """
    return (_DECODER if len(text) <= MAX_LOCKED_CHARS else _LONG_DECODER).decode(text)


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
