"""From marshmallow's fields and schemas to JSON Schema; the only importer of apispec.

That import takes as long as all else of a start, and so waits for the first request.
It is the same code in the server, for its own schemas, and where a model is loaded.
"""

import decimal
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any, NamedTuple

import marshmallow
from marshmallow import fields

from deepaas.documents.shapes import (
    DESCRIPTION,
    TITLE,
    Answer,
    ListOf,
    Named,
    Shape,
)

NO_WORD = re.compile(r"[^\w.-]")
NO_ASCII_WORD = re.compile(r"[^\w.-]", re.ASCII)


class Name(NamedTuple):
    """The name of a definition, as a converter chose it and as it was asked for."""

    chosen: str
    wanted: str
    owner: str


class Converter:
    """Converts for one document, and keeps its definitions.

    `version` is the major one of OpenAPI. apispec knows 3.0 and not 3.1: for 3 its
    output has to be brought up to date.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        self._names: set[str] = set()
        self.names: list[Name] = []
        """The names of the definitions, in the order in which they were chosen."""
        self.adopted: set[str] = set()
        """The names of definitions that were written elsewhere."""
        self._named: dict[int, Named] = {}
        self.spec = _new_spec(version, self._name_schema)
        self._plugin = self.spec.plugins[0].converter
        self._plugin.add_attribute_function(_enum2properties)
        if version == 3:
            self._plugin.add_attribute_function(_details2properties)

    def field(self, field: marshmallow.fields.Field) -> dict[str, Any]:
        """Return the schema of a field. Raises any error of the author's code."""
        found: dict[str, Any] = self._plugin.field2property(field)
        return found

    def definitions(self) -> dict[str, dict[str, Any]]:
        """Return the schemas that the others refer to, by name."""
        found: dict[str, dict[str, Any]] = self.spec.components.to_dict()
        return found.get("definitions" if self.version == 2 else "schemas", {})

    def adopt(self, name: str, schema: dict[str, Any]) -> None:
        """Add a definition that was written elsewhere, under a name that is free."""
        self.adopted.add(name)
        self.spec.components.schema(name, schema)

    def shape(self, shape: Shape) -> Any:
        """Return the schema of a shape, which is a reference for one with a name."""
        if shape is None:
            return {}
        if isinstance(shape, ListOf):
            return {"type": "array", "items": self.shape(shape.item)}
        if isinstance(shape, Answer):
            raise TypeError(f"the answer of {shape.model} is not written here")
        if isinstance(shape, Mapping):
            return dict(shape)
        if isinstance(shape, Named):
            if id(shape) not in self._named:
                self._named[id(shape)] = shape
                name = self.free_name(shape.name, shape.owner)
                self.spec.components.schema(name, schema=shape.schema)
            shape = shape.schema
        return self._plugin.resolve_nested_schema(shape)

    def _name_schema(self, schema: Any) -> str:
        cls = schema if isinstance(schema, type) else type(schema)
        if isinstance(schema, str):
            cls = marshmallow.class_registry.get_class(schema)
        return self.free_name(cls.__name__.removesuffix("Schema") or cls.__name__)

    def free_name(self, name: str, owner: str = "") -> str:
        """Choose a definition's name that no other one has.

        The owner may have any name, but references are addresses. OpenAPI 3 takes
        no letters but ASCII's.
        """
        wanted = name
        if name in self._names and owner:
            name = f"{name}-{NO_WORD.sub('_', owner)}"
        if self.version == 3:
            name = NO_ASCII_WORD.sub("_", name)
        numbered = (f"{name}{number}" for number in itertools.count(2))
        free = next(
            n for n in itertools.chain([name], numbered) if n not in self._names
        )
        self._names.add(free)
        self.names.append(Name(free, wanted, owner))
        return free


def _new_spec(version: int, name_schema: Any) -> Any:
    about: dict[str, Any] = {"title": TITLE, "version": version_of("deepaas")}
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin

    plugin = MarshmallowPlugin(schema_name_resolver=name_schema)
    if version == 2:
        about["info"] = {"description": DESCRIPTION}
    openapi_version = "2.0" if version == 2 else "3.0.3"
    return APISpec(openapi_version=openapi_version, plugins=[plugin], **about)


def _enum2properties(
    converter: Any, field: marshmallow.fields.Field, **kwargs: Any
) -> dict[str, Any]:
    """Return the choices of an enum and their type, which apispec leaves out.

    apispec calls it, and gives it the properties that it has found as `ret`.
    """
    if not isinstance(field, marshmallow.fields.Enum):
        return {}
    choices: list[Any] = list(field.enum.__members__)  # with the aliases
    if field.by_value:
        choices = [field._serialize(member, "", None) for member in field.enum]  # type: ignore[no-untyped-call]
    kind = _type_of(choices)
    found = {"enum": choices, **({} if kind is None else {"type": kind})}
    return {key: value for key, value in found.items() if key not in kwargs["ret"]}


def _type_of(choices: Sequence[Any]) -> str | None:
    """Return the type that JSON values have in common, if it is a simple one."""
    types: dict[type, str] = {bool: "boolean", int: "integer", float: "number"}
    names = {types.get(type(choice)) for choice in choices}
    if choices and all(isinstance(choice, str) for choice in choices):
        return "string"
    if names == {"integer", "number"}:
        return "number"
    return names.pop() if len(names) == 1 else None


# -- what apispec 3 leaves out, and Swagger 2.0 mostly has no words for


def _details2properties(
    converter: Any, field: marshmallow.fields.Field, **kwargs: Any
) -> dict[str, Any]:
    """Return the words of a field in which apispec falls short of the truth."""
    found = kwargs["ret"]
    if "format" not in field.metadata and found.get("format") in ("int32", "float"):
        del found["format"]  # neither is so narrow
    if found.get("format") == "url":
        found["format"] = "uri"
    if isinstance(field, fields.Pluck):
        found.clear()
        inner = converter.field2property(field.schema.fields[field.field_name])
        return {"type": "array", "items": inner} if field.many else inner
    if isinstance(field, fields.DateTime) and "format" not in field.metadata:
        found.pop("format", None)  # apispec takes all of them for ISO 8601
    details = {**_limits(field), **_described(converter, field)}
    return {k: v for k, v in details.items() if k not in field.metadata}


def _described(converter: Any, field: marshmallow.fields.Field) -> dict[str, Any]:
    """Return what apispec does not know of some classes of fields."""
    if isinstance(field, fields.Tuple):
        items = [converter.field2property(one) for one in field.tuple_fields]
        size = len(items)
        exact = {"prefixItems": items, "minItems": size, "maxItems": size}
        return {"type": "array", **exact}
    if isinstance(field, fields.DateTime):
        return _moment(field)
    if isinstance(field, fields.TimeDelta):
        return {"type": "number" if field.serialization_type is float else "integer"}
    if isinstance(field, fields.Constant):
        return {"const": field.constant}
    if isinstance(field, fields.IPv4):
        return {"type": "string", "format": "ipv4"}
    if isinstance(field, fields.IPv6):
        return {"type": "string", "format": "ipv6"}
    if isinstance(field, fields.IP | fields.IPInterface):
        return {"type": "string"}
    if isinstance(field, fields.Mapping) and not isinstance(field, fields.Dict):
        value = field.value_field
        inner = {} if value is None else converter.field2property(value)
        return {"type": "object", **({"additionalProperties": inner} if inner else {})}
    return {}


def _moment(field: fields.DateTime) -> dict[str, Any]:
    """Return the words of a date, a time, or both; it may have its own format."""
    if field.format in ("timestamp", "timestamp_ms"):
        return {"type": "number"}
    if field.format not in (None, "iso", "iso8601"):
        return {"type": "string"}
    if isinstance(field, fields.Date):
        return {"type": "string", "format": "date"}
    if isinstance(field, fields.Time):
        return {"type": "string", "format": "time"}
    needs_zone = (
        isinstance(field, fields.AwareDateTime) and field.default_timezone is None
    )
    zone = {"x-deepaas-zone": True} if needs_zone else {}
    return {"type": "string", "format": "date-time", **zone}


def _limits(field: marshmallow.fields.Field) -> dict[str, Any]:
    """Return the narrowest limits of a field's validators.

    apispec gives the last ones, and does not say which of them are exclusive.
    """
    ranges = [v for v in field.validators if isinstance(v, marshmallow.validate.Range)]
    lower = [(v.min, not v.min_inclusive) for v in ranges if _is_number(v.min)]
    upper = [(v.max, v.max_inclusive) for v in ranges if _is_number(v.max)]
    limits: dict[str, Any] = {}
    if lower:
        limits["minimum"], exclusive = max(lower)
        limits["exclusiveMinimum"] = exclusive
    if upper:
        limits["maximum"], inclusive = min(upper)
        limits["exclusiveMaximum"] = not inclusive
    return limits


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | decimal.Decimal) and math.isfinite(value)
