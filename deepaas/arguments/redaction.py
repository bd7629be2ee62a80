"""Shows a job's arguments without paths of files, secrets and long values."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import marshmallow
from marshmallow.fields import Field

from deepaas.arguments.definition import DeclaredArgument
from deepaas.encoding import describe_json
from deepaas.model.v2.wrapper import UploadedFile

HIDDEN = "***"
"""The text in place of a secret."""

MAX_SHOWN_BYTES = 10_000
"""Bytes of a value's JSON from which its size is shown in its place."""

MAX_SHOWN_LEVELS = 100
"""Levels of a value's JSON above which the value is not shown.

An encoder takes 254, and a job in a list adds some.
"""

SHOWN_OF_FILES = ("name", "content_type", "original_filename")


def show(
    schema: marshmallow.Schema,
    items: Sequence[DeclaredArgument],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """Return loaded arguments as JSON values, by the callers' names."""
    names = {item.field.attribute or item.attribute: item.name for item in items}
    shown = _show_fields(schema, kwargs)
    return {names.get(key, key): _bounded(v) for key, v in shown.items()}


def _show_fields(schema: marshmallow.Schema, values: Mapping[str, Any]) -> Any:
    fields = {
        field.attribute or name: field for name, field in schema.load_fields.items()
    }
    shown = {}
    for key, value in values.items():
        if key not in fields and any(field.load_only for field in fields.values()):
            shown[str(key)] = HIDDEN  # a post_load made it, of any type
        else:
            shown[str(key)] = _show(fields.get(key), value)
    return shown


def _bounded(shown: Any) -> Any:
    size = len(describe_json(shown))
    if size > MAX_SHOWN_BYTES:
        return f"({size} bytes of JSON)"
    deep = _is_deeper(shown, MAX_SHOWN_LEVELS)
    return f"(JSON of more than {MAX_SHOWN_LEVELS} levels)" if deep else shown


def _is_deeper(value: Any, levels: int) -> bool:
    """Tell whether a JSON value has more levels of objects and arrays than that."""
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _show(field: Field | None, value: Any) -> Any:
    if field is not None and field.load_only:
        return HIDDEN
    if isinstance(value, UploadedFile):
        return {key: getattr(value, key) for key in SHOWN_OF_FILES}
    if isinstance(field, marshmallow.fields.Nested) and isinstance(value, Mapping):
        return _show_fields(field.schema, value)
    if isinstance(field, marshmallow.fields.Tuple) and isinstance(value, tuple):
        return [_show(*pair) for pair in zip(field.tuple_fields, value, strict=True)]
    inner = getattr(field, "inner", field)
    if isinstance(value, list) and (_may_hide(inner) or _are_files(value)):
        return [_show(inner, item) for item in value]
    inner = getattr(field, "value_field", None)
    if isinstance(value, Mapping) and _may_hide(inner):
        return {str(key): _show(inner, item) for key, item in value.items()}
    if isinstance(field, marshmallow.fields.Nested) and value is not None:
        return f"<{type(value).__name__}>"  # a post_load made it; it may hold a secret
    return json.loads(describe_json(value))


def _may_hide(field: Field | None) -> bool:
    containers = (
        marshmallow.fields.Nested,
        marshmallow.fields.List,
        marshmallow.fields.Tuple,
        marshmallow.fields.Mapping,
    )
    return field is not None and (field.load_only or isinstance(field, containers))


def _are_files(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], UploadedFile)
