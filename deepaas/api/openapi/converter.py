"""From marshmallow's fields and schemas to JSON Schema; the only importer of apispec.

That import takes as long as all else of a start, and so waits for the first request.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version as version_of
from typing import Any

import marshmallow

from deepaas.api.openapi.operations import DESCRIPTION, TITLE, ListOf, Named, Shape

NO_WORD = re.compile(r"[^\w.-]")


class Converter:
    """Converts for one document, and keeps its definitions.

    `version` is the major one of OpenAPI. apispec knows 3.0 and not 3.1: for 3 its
    output has to be brought up to date.
    """

    def __init__(self, version: int) -> None:
        self._names: set[str] = set()
        self._named: dict[int, Named] = {}
        self.spec = _new_spec(version, self._name_schema)
        self._plugin = self.spec.plugins[0].converter
        self._plugin.add_attribute_function(_enum2properties)

    def field(self, field: marshmallow.fields.Field) -> dict[str, Any]:
        """Return the schema of a field; raises whatever the author's code raises."""
        found: dict[str, Any] = self._plugin.field2property(field)
        return found

    def shape(self, shape: Shape) -> Any:
        """Return the schema of a shape, which is a reference for one with a name."""
        if shape is None:
            return {}
        if isinstance(shape, ListOf):
            return {"type": "array", "items": self.shape(shape.item)}
        if isinstance(shape, Mapping):
            return dict(shape)
        if isinstance(shape, Named):
            if id(shape) not in self._named:
                self._named[id(shape)] = shape
                name = self._free_name(shape.name, shape.owner)
                self.spec.components.schema(name, schema=shape.schema)
            shape = shape.schema
        return self._plugin.resolve_nested_schema(shape)

    def _name_schema(self, schema: Any) -> str:
        cls = schema if isinstance(schema, type) else type(schema)
        if isinstance(schema, str):
            cls = marshmallow.class_registry.get_class(schema)
        return self._free_name(cls.__name__.removesuffix("Schema") or cls.__name__)

    def _free_name(self, name: str, owner: str = "") -> str:
        """Return a definition's name that no other one has.

        The owner may have any name, but references are addresses.
        """
        if name in self._names and owner:
            name = f"{name}-{NO_WORD.sub('_', owner)}"
        numbered = (f"{name}{number}" for number in itertools.count(2))
        free = next(
            n for n in itertools.chain([name], numbered) if n not in self._names
        )
        self._names.add(free)
        return free


def _new_spec(version: int, name_schema: Any) -> Any:
    about = {"title": TITLE, "version": version_of("deepaas")}
    if version == 2:
        from aiohttp_apispec.aiohttp_apispec import AiohttpApiSpec

        info = {"description": DESCRIPTION}
        return AiohttpApiSpec(
            url=None, schema_name_resolver=name_schema, info=info, **about
        ).spec
    from apispec import APISpec
    from apispec.ext.marshmallow import MarshmallowPlugin

    plugin = MarshmallowPlugin(schema_name_resolver=name_schema)
    return APISpec(openapi_version="3.0.3", plugins=[plugin], **about)


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
