"""JSON Schema 2020-12, made of what apispec writes for OpenAPI 3.0."""

import decimal
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from deepaas.encoding import encode_json
from deepaas.errors import authors_errors

Schema = dict[str, Any]

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")

NUMBERS = ("number", "integer")

COMPOSED = ("$ref", "allOf", "anyOf", "oneOf")

PYTHON_GROUP = "(?P"
"""A group of Python's in a pattern, which JavaScript cannot read."""


def modernise(schema: Any) -> Schema:
    """Return a schema in the words of 2020-12, without what is invalid in it.

    An author's metadata may have any value under any word. Raises NoJSONForm.
    """
    plain = json.loads(encode_json(_without_decimals(schema)))
    return _modernise(plain)


def write_definition(schema: Schema) -> Schema:
    """Return a definition likewise; a property without a JSON form may be anything."""
    properties: Schema = {}
    for name, value in schema.get("properties", {}).items():
        try:
            encode_json(value)
        except authors_errors():  # the writer of /swagger.json warns of it
            properties[name] = {}
        else:
            properties[name] = value
    return modernise({**schema, "properties": properties})


def allow_null(schema: Schema) -> Schema:
    """Return a schema that null fits too."""
    schema = dict(schema)
    if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        schema["type"] = [*types, *(["null"] if "null" not in types else [])]
        return schema
    composed = {word: schema.pop(word) for word in COMPOSED if word in schema}
    if not composed:
        return schema  # anything fits
    if composed.keys() == {"allOf"} and len(composed["allOf"]) == 1:
        [composed] = composed["allOf"]
    return {"anyOf": [composed, {"type": "null"}], **schema}


def _without_decimals(value: Any) -> Any:
    """Return a schema with Decimals as numbers; JSON has them as texts elsewhere."""
    if isinstance(value, decimal.Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, Mapping):
        return {key: _without_decimals(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_decimals(one) for one in value]
    return value


def _modernise(schema: Any) -> Schema:
    if not isinstance(schema, dict):
        return {}
    schema = _with_numeric_limits(schema)
    if "example" in schema and "examples" not in schema:
        schema["examples"] = [schema["example"]]
    found = {
        word: value
        for word, value in schema.items()
        if word.startswith("x-") or (word in WORDS and WORDS[word](value))
    }
    _move_choices(found)
    _modernise_inner(found)
    _drop_what_does_not_fit(found)
    if schema.get("nullable") is True:
        found = allow_null(found)
    return _with_fitting_default(found)


def _with_numeric_limits(schema: Schema) -> Schema:
    """Write exclusive limits as 2020-12 does, in place of the others."""
    schema = dict(schema)
    for word in ("minimum", "maximum"):
        exclusive = f"exclusive{word.capitalize()}"
        if schema.get(exclusive) is True and _is_number(schema.get(word)):
            schema[exclusive] = schema.pop(word)
    return schema


def _move_choices(schema: Schema) -> None:
    """Give the choices of a list's items to the items, in place.

    A validator such as ContainsOnly is one of the list.
    """
    choices = schema.get("enum")
    if choices is None or schema.get("type") != "array":
        return
    if not any(isinstance(choice, list) for choice in choices):
        del schema["enum"]
        schema["items"] = {**schema.get("items", {}), "enum": choices}


def _modernise_inner(schema: Schema) -> None:
    if "properties" in schema:
        properties = schema["properties"].items()
        schema["properties"] = {name: _modernise(one) for name, one in properties}
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            schema[word] = _modernise(schema[word])
    for word in ("prefixItems", "allOf", "anyOf", "oneOf"):
        if word in schema:
            schema[word] = [_modernise(one) for one in schema[word]]


def _drop_what_does_not_fit(schema: Schema) -> None:
    """Drop repeated choices, and limits of other types than numbers, in place."""
    for word in ("enum", "required"):
        if word in schema:
            unique = {json.dumps(one): one for one in schema[word]}
            schema[word] = list(unique.values())
    types = schema.get("type", NUMBERS[0])
    if not set(types if isinstance(types, list) else [types]) & set(NUMBERS):
        for word in LIMITS:
            schema.pop(word, None)


def _with_fitting_default(schema: Schema) -> Schema:
    if "default" in schema and not _is_of_type(schema["default"], schema.get("type")):
        del schema["default"]
    return schema


def _is_of_type(value: Any, types: Any) -> bool:
    if types is None:
        return value is not None
    names = types if isinstance(types, list) else [types]
    return any(_IS_OF[name](value) for name in names)


# -- what a word may have


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_integer(value: Any) -> bool:
    return _is_number(value) and math.isfinite(value) and value == int(value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value) and value >= 0


def _is_step(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_list_of_texts(value: Any) -> bool:
    return _is_list(value) and all(isinstance(one, str) for one in value)


def _is_list_of_objects(value: Any) -> bool:
    return _is_list(value) and all(isinstance(one, dict) for one in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_type(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    known = all(isinstance(name, str) and name in TYPES for name in names)
    return bool(names) and known and len(set(names)) == len(names)


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, str) or PYTHON_GROUP in value:
        return False
    try:
        re.compile(value)
    except re.error:
        return False
    return True


def _is_anything(value: Any) -> bool:
    return True


LIMITS = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
)

WORDS: Mapping[str, Callable[[Any], bool]] = {
    "$ref": _is_text,
    "title": _is_text,
    "description": _is_text,
    "format": _is_text,
    "contentMediaType": _is_text,
    "contentEncoding": _is_text,
    "minLength": _is_size,
    "maxLength": _is_size,
    "minItems": _is_size,
    "maxItems": _is_size,
    "minProperties": _is_size,
    "maxProperties": _is_size,
    "uniqueItems": _is_flag,
    "readOnly": _is_flag,
    "writeOnly": _is_flag,
    "deprecated": _is_flag,
    "minimum": _is_number,
    "maximum": _is_number,
    "exclusiveMinimum": _is_number,
    "exclusiveMaximum": _is_number,
    "allOf": _is_list_of_objects,
    "anyOf": _is_list_of_objects,
    "oneOf": _is_list_of_objects,
    "prefixItems": _is_list_of_objects,
    "enum": _is_list,
    "examples": _is_list,
    "const": _is_anything,
    "default": _is_anything,
    "properties": _is_object,
    "items": _is_object,
    "additionalProperties": lambda value: _is_object(value) or _is_flag(value),
    "multipleOf": _is_step,
    "pattern": _is_pattern,
    "required": _is_list_of_texts,
    "type": _is_type,
}
"""The words that are kept, and which values of theirs are valid."""

_IS_OF: Mapping[str, Callable[[Any], bool]] = {
    "string": _is_text,
    "number": _is_number,
    "integer": _is_integer,
    "boolean": _is_flag,
    "array": lambda value: isinstance(value, list),
    "object": _is_object,
    "null": lambda value: value is None,
}
