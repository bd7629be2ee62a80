"""Arguments in Swagger 2.0: its parameters; one may be the body.

An argument that Swagger 2.0 has no words for is squeezed into what it has, or left out.
"""

import decimal
import json
import logging
import math
import re
from collections.abc import Mapping
from typing import Any

import marshmallow

from deepaas.arguments import Arguments, DeclaredArgument
from deepaas.documents.converter import Converter
from deepaas.encoding import encode_json
from deepaas.errors import authors_errors

logger = logging.getLogger(__name__)

PLACES = {
    "query": "query",
    "querystring": "query",
    "form": "formData",
    "files": "formData",
    "json": "body",
    "headers": "header",
}
"""The locations in Swagger of arguments, by the author's location."""

PARAMETER_KEYS = {
    "description",
    "type",
    "format",
    "items",
    "collectionFormat",
    "default",
    "enum",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "multipleOf",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
}
"""The keys that Swagger 2.0 allows in a parameter other than the body."""

SIMPLE_TYPES = ("string", "number", "integer", "boolean", "array")


class ParametersWriter:
    """Writes the arguments of operations."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter

    def parameters(self, arguments: Arguments) -> list[dict[str, Any]]:
        """Write the parameters of an operation, the body as the last one."""
        places = {item.name: _place(item) for item in arguments.items}
        if "formData" in places.values():  # a body is a form or JSON, never both
            places = {n: "formData" if p == "body" else p for n, p in places.items()}
        body: dict[str, Any] = {"type": "object", "properties": {}}
        parameters = []
        for item in arguments.items:
            place = places[item.name]
            if place == "body":
                body["properties"][item.name] = clean_schema(self._property(item))
                if item.field.required:
                    body.setdefault("required", []).append(item.name)
            elif place is not None:
                parameters.append(
                    {
                        "name": item.name,
                        "in": place,
                        "required": bool(item.field.required),
                        **_simple(item, self._property(item), place),
                    }
                )
        if body["properties"]:
            parameters.append({"name": "body", "in": "body", "schema": body})
        return parameters

    def _property(self, item: DeclaredArgument) -> dict[str, Any]:
        try:
            prop = {
                **self._converter.field(item.field),
                **_exclusive(item.field),
            }
            encode_json(prop)
            return prop
        except authors_errors() as error:  # from the author's own field or default
            logger.warning("%r is documented as a string: %r", item.name, error)
            return {"type": "string"}


def _place(item: DeclaredArgument) -> str | None:
    """Return where Swagger says that an argument is; None for a cookie."""
    location = item.field.metadata.get("location")
    if location is not None:
        return PLACES.get(location)
    if item.is_file:
        return "formData"
    return "body" if item.structured else "query"


def _exclusive(field: marshmallow.fields.Field) -> dict[str, bool]:
    """Return the flags of exclusive limits, which apispec leaves out."""
    ranges = [
        validator
        for validator in field.validators
        if isinstance(validator, marshmallow.validate.Range)
    ]
    lower = any(r.min is not None and not r.min_inclusive for r in ranges)
    upper = any(r.max is not None and not r.max_inclusive for r in ranges)
    return {
        **({"exclusiveMinimum": True} if lower else {}),
        **({"exclusiveMaximum": True} if upper else {}),
    }


def _simple(item: DeclaredArgument, prop: dict[str, Any], place: str) -> dict[str, Any]:
    """Describe an argument outside the body, within what Swagger 2.0 allows there."""
    if item.is_file:
        file = {"type": "file"}
        if item.multiple:
            # Swagger 2.0 has no list of files; its page shows this as one.
            binary = {"type": "string", "format": "binary"}
            file = {"type": "array", "items": binary, "collectionFormat": "multi"}  # type: ignore[dict-item]
        return {**file, **_described(prop)}
    prop = {key: value for key, value in prop.items() if key in PARAMETER_KEYS}
    prop.update(_described(prop))
    _clean_choices(prop)
    if prop.get("type") not in SIMPLE_TYPES:
        prop["type"] = "string"
        prop.pop("items", None)
        if not all(isinstance(choice, str) for choice in prop.get("enum", ())):
            del prop["enum"]
    if prop["type"] == "array":
        items = prop.get("items", {})
        kept = {k: v for k, v in items.items() if k in PARAMETER_KEYS - {"default"}}
        if kept.get("type") not in SIMPLE_TYPES:
            kept = {"type": "string"}
        _clean_choices(kept)
        if "enum" in prop:  # such as that of ContainsOnly, for each item
            kept.setdefault("enum", prop.pop("enum"))
        prop["items"] = kept
        multi = item.multiple and place in ("query", "formData")
        prop["collectionFormat"] = "multi" if multi else "csv"
    if item.field.load_only and prop["type"] == "string":
        prop.setdefault("format", "password")
    return _clean_values(prop)


_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)$")
"""The end of a date-time of RFC 3339."""


def _described(prop: Mapping[str, Any]) -> dict[str, str]:
    text = prop.get("description")
    return {} if text is None else {"description": str(text)}


def _clean_values(prop: dict[str, Any]) -> dict[str, Any]:
    """Keep a default and limits only where they are values of the type."""
    if "default" in prop:
        default = _default(prop["default"], prop.get("type"))
        prop.pop("default")
        if default is not None:
            prop["default"] = default
        if prop.get("format") == "date-time" and not _ZONE.search(str(default)):
            del prop["format"]  # RFC 3339 requires a zone, also in a default
    for key in ("minimum", "maximum"):
        if key in prop and not (
            prop.get("type") in ("number", "integer") and _is_finite(prop[key])
        ):
            del prop[key]
            prop.pop(f"exclusive{key.capitalize()}", None)
        elif isinstance(prop.get(key), decimal.Decimal):
            prop[key] = float(prop[key])
    return prop


def _clean_choices(prop: dict[str, Any]) -> None:
    """Keep an enum only where it is a list, each choice once, in place."""
    if "enum" not in prop:
        return
    choices = prop.pop("enum")
    if isinstance(choices, list | tuple | set | frozenset) and choices:
        prop["enum"] = list({repr(choice): choice for choice in choices}.values())


def _default(value: Any, kind: str | None) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if kind == "string" and not isinstance(value, str):
        return json.dumps(json.loads(encode_json(value)))
    if isinstance(value, decimal.Decimal):
        return float(value) if value.is_finite() else None
    return value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | decimal.Decimal) and math.isfinite(value)


def clean_schema(schema: Any) -> Any:
    """Remove from a JSON schema what an author's metadata made invalid, in place."""
    if not isinstance(schema, dict):
        return schema
    _clean_values(schema)
    _clean_choices(schema)
    if not isinstance(schema.get("required", []), list):
        del schema["required"]
    if schema.get("type") == "file" or not isinstance(schema.get("type", ""), str):
        del schema["type"]
    for value in schema.get("properties", {}).values():
        clean_schema(value)
    for key in ("items", "additionalProperties"):
        clean_schema(schema.get(key))
    return schema


def clean_definition(schema: dict[str, Any]) -> None:
    """Remove from a definition what is invalid or has no JSON form, in place."""
    clean_schema(schema)
    for name, value in schema.get("properties", {}).items():
        try:
            encode_json(value)
        except authors_errors() as error:
            logger.warning("%r is documented as anything: %r", name, error)
            schema["properties"][name] = {}
