"""The text of a body: media types of JSON, and forms that are not multipart."""

import urllib.parse
from typing import Any

from multidict import MultiDict

from deepaas.arguments.json_text import decode, decode_json
from deepaas.errors import BodyTooLarge, InvalidArguments

MAX_FIELDS = 100_000
"""Most fields that a urlencoded form may have."""

JSON_AS_FORM = (
    "The body is JSON, but was sent as a form: "
    "add the header Content-Type: application/json."
)


def is_json_type(media_type: str) -> bool:
    """Tell whether a media type without parameters is JSON (RFC 6839)."""
    return media_type == "application/json" or media_type.endswith("+json")


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
