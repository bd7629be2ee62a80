"""Arguments in OpenAPI 3.1: parameters, bodies, and the schema of each."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from deepaas.arguments import Arguments, DeclaredArgument
from deepaas.documents.converter import Converter
from deepaas.documents.json_schema import Schema, allow_null, modernise
from deepaas.encoding import encode_json
from deepaas.errors import authors_errors
from deepaas.media_types import JSON

logger = logging.getLogger(__name__)

MULTIPART = "multipart/form-data"

PLACES = {"query": "query", "headers": "header", "cookies": "cookie"}
"""Our locations outside the body, and OpenAPI's names of them."""

DELIMITED_STYLES = {",": "form", " ": "spaceDelimited", "|": "pipeDelimited"}
"""The style of a list that is one text, by its delimiter."""

SIMPLE_TYPES = frozenset(("string", "number", "integer", "boolean", "null"))

FileExamples: TypeAlias = Mapping[str, Sequence[Mapping[str, str]]]
"""Names and addresses of files to try an argument with, by its name."""


class ArgumentsWriter:
    """Writes the arguments of operations."""

    def __init__(self, converter: Converter) -> None:
        self._converter = converter

    def parameters(
        self, arguments: Arguments, *, takes_body: bool
    ) -> list[dict[str, Any]]:
        """Write what is outside the body: all, where none is taken."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        for item in arguments.items:
            place = _place(item, arguments, takes_body=takes_body)
            if place != "body":
                schema = self._choices(item, arguments, self.schema(item))
                parameter = _parameter(item, place, schema)
                found.setdefault((item.name, place), parameter)
        return list(found.values())

    def body(self, arguments: Arguments, examples: FileExamples) -> dict[str, Any]:
        """Write the body; empty for arguments that are all elsewhere."""
        items = [
            item
            for item in arguments.items
            if _place(item, arguments, takes_body=True) == "body"
        ]
        schemas = {i.name: self.schema(i, examples.get(i.name, ())) for i in items}
        for item in items:
            if _is_delimited(item) and _style(item) is None:
                schemas[item.name] = _as_text(schemas[item.name])
        form = [item for item in items if "form" in item.locations]
        content = {}
        if form:
            encoding = _encoding(form, schemas)
            content[MULTIPART] = {
                "schema": _object(form, schemas),
                **({"encoding": encoding} if encoding else {}),
            }
        in_json = [i for i in items if "json" in i.locations and not i.is_file]
        needs_form = any(i.field.required for i in form if i not in in_json)
        if in_json and not needs_form:
            content[JSON] = {"schema": _object(in_json, schemas)}
        if not content:
            return {}
        return {
            **_also_in_query(items),
            "required": any(item.field.required for item in items),
            "content": content,
        }

    def schema(
        self, item: DeclaredArgument, examples: Sequence[Mapping[str, str]] = ()
    ) -> Schema:
        """Write the schema of an argument, wherever it is."""
        found = self._field(item)
        if item.is_file:
            found = _file(item, found)
        if item.field.load_only:
            found["writeOnly"] = True
            if found.get("type") in ("string", ["string", "null"]):
                found.setdefault("format", "password")
        return {**found, **_hints(item, examples)}

    def _field(self, item: DeclaredArgument) -> Schema:
        try:
            return modernise(self._converter.field(item.field))
        except authors_errors() as error:  # from the author's own field or default
            logger.warning("%r is documented as a string: %r", item.name, error)
            found: Schema = {"type": "string"}
            return allow_null(found) if item.field.allow_none else found

    def _choices(
        self, item: DeclaredArgument, arguments: Arguments, schema: Schema
    ) -> Schema:
        """Say what `accept` may be: never the wildcard, which no caller receives."""
        if item.attribute != "accept" or arguments.negotiation is None:
            return schema
        choices = arguments.negotiation.choices
        return {**schema, "enum": [*choices]} if choices else schema


def _place(item: DeclaredArgument, arguments: Arguments, *, takes_body: bool) -> str:
    if not takes_body:
        return "query"
    if arguments.negotiation is not None and item.attribute == "accept":
        return "query"  # OpenAPI knows no parameter that is the header Accept
    return PLACES.get(item.locations[0], "body") if not item.in_body else "body"


def _parameter(item: DeclaredArgument, place: str, schema: Schema) -> dict[str, Any]:
    description = schema.pop("description", None)
    return {
        "name": item.name,
        "in": place,
        "required": bool(item.field.required),
        **({} if description is None else {"description": description}),
        **_written(item, place, schema),
    }


def _written(item: DeclaredArgument, place: str, schema: Schema) -> dict[str, Any]:
    """Say how a value becomes the text of a parameter."""
    if _is_delimited(item):
        style = _style(item)
        if place == "header" and style == "form":
            return {"schema": schema}  # as all lists in headers are
        if style is not None and (style == "form" or place == "query"):
            return {"style": style, "explode": False, "schema": schema}
        return {"schema": _as_text(schema)}
    simple = _is_simple(schema.get("items", {}))
    if item.multiple and simple and place == "query":
        return {"style": "form", "explode": True, "schema": schema}
    if item.structured or item.is_list:
        return {"content": {JSON: {"schema": schema}}}
    return {"schema": schema}


def _encoding(
    items: Iterable[DeclaredArgument], schemas: Mapping[str, Schema]
) -> dict[str, dict[str, Any]]:
    """Say how values become parts of a form, where it is not as plain text."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        if item.is_file:
            types = [media for media in item.hints.media if "/" in media]
            if types and len(types) == len(item.hints.media):
                found[item.name] = {"contentType": ", ".join(types)}
        elif _is_delimited(item):
            if (style := _style(item)) is not None:
                found[item.name] = {"style": style, "explode": False}
        elif item.structured or not _is_simple(schemas[item.name].get("items", {})):
            found[item.name] = {"contentType": JSON}
    return found


def _object(items: Iterable[DeclaredArgument], schemas: Mapping[str, Schema]) -> Schema:
    items = list(items)
    required = [item.name for item in items if item.field.required]
    return {
        "type": "object",
        "properties": {item.name: schemas[item.name] for item in items},
        **({"required": required} if required else {}),
    }


def _also_in_query(items: Sequence[DeclaredArgument]) -> dict[str, str]:
    """Name the arguments that may be in the query as well."""
    names = [f"`{item.name}`" for item in items if "query" in item.locations]
    others = [f"`{item.name}`" for item in items if "query" not in item.locations]
    if not names:
        return {}
    which = ", ".join(names)
    if len(names) > len(others):
        which = f"All but {', '.join(others)}" if others else "All of these"
    return {"description": f"{which} may be in the query too, which goes first."}


def _file(item: DeclaredArgument, schema: Schema) -> Schema:
    """Return the schema of a file, or of a list of them."""
    binary: Schema = {"type": "string", "format": "binary"}
    media = item.hints.media
    if len(media) == 1 and "/" in media[0]:
        binary["contentMediaType"] = media[0]
    elif media:
        binary["x-deepaas-media"] = list(media)
    kept = {
        word: value
        for word, value in schema.items()
        if word.startswith("x-") or word in ("title", "description", "deprecated")
    }
    if not item.multiple:
        return {**binary, **kept}
    words = ("minItems", "maxItems")
    sizes: Schema = {word: schema[word] for word in words if word in schema}
    return {"type": "array", "items": binary, **sizes, **kept}


def _hints(item: DeclaredArgument, examples: Sequence[Mapping[str, str]]) -> Schema:
    hints = item.hints
    found: Schema = {}
    if hints.title is not None:
        found["title"] = hints.title
    if hints.examples and not item.is_file:
        found["examples"] = _with_json_form(item, hints.examples)
    if examples:
        found["x-deepaas-examples"] = [dict(example) for example in examples]
    for word in ("unit", "widget", "order", "advanced"):
        value = getattr(hints, word)
        if value is not None:
            found[f"x-deepaas-{word}"] = value
    return found


def _with_json_form(item: DeclaredArgument, values: Sequence[Any]) -> list[Any]:
    kept = [value for value in values if _has_json_form(value)]
    if len(kept) < len(values):
        logger.warning("Examples of %r without a JSON form are left out", item.name)
    return kept


def _has_json_form(value: Any) -> bool:
    try:
        encode_json(value)
    except authors_errors():  # a class of the author's may raise anything
        return False
    return True


def _is_delimited(item: DeclaredArgument) -> bool:
    return item.is_list and not item.multiple


def _style(item: DeclaredArgument) -> str | None:
    """Return the style of a list that is one text; None where OpenAPI has none."""
    return DELIMITED_STYLES.get(getattr(item.field, "delimiter", ""))


def _is_simple(schema: Schema) -> bool:
    types = schema.get("type")
    if types is None:
        return not any(word in schema for word in ("$ref", "allOf", "anyOf"))
    return set(types if isinstance(types, list) else [types]) <= SIMPLE_TYPES


def _as_text(schema: Schema) -> Schema:
    """Return what is left of the schema of a list that is one text."""
    kept = ("title", "description", "writeOnly", "deprecated")
    words = {k: v for k, v in schema.items() if k in kept or k.startswith("x-")}
    return {"type": "string", **words}
