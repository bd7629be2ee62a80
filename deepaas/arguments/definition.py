"""Arguments, by the facts that are known at start, and the fields that declare them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import marshmallow
from marshmallow import fields
from marshmallow.fields import Field

from deepaas.arguments.hints import Hints, read_hints
from deepaas.model.loading import is_field
from deepaas.tensors.fields import read_tensor
from deepaas.tensors.specs import TensorSpec

LOCATIONS = {
    "query": "query",
    "querystring": "query",
    "form": "form",
    "files": "form",
    "json": "json",
    "headers": "headers",
    "cookies": "cookies",
}
"""Our names of the locations that webargs knows."""

EVERYWHERE = ("query", "form", "json")
"""The locations of a value whose author gives none, in this order."""


@dataclass(frozen=True)
class Argument:
    """One argument of a method, by facts that need no code of the author's."""

    name: str
    """The name that callers use."""
    attribute: str
    """The name that the model uses."""
    locations: tuple[str, ...]
    multiple: bool
    """It takes a list."""
    is_file: bool
    structured: bool
    """It takes an object, which is JSON text where a location holds text only."""
    is_list: bool
    """It takes a list, perhaps as one delimited text."""
    lists_arrays: bool
    """The items of its list are JSON arrays themselves."""
    refuses_files: bool
    """No file can fit its field, which reads values as marshmallow does."""
    required: bool
    """A call without it is refused."""
    tensor: TensorSpec
    """The tensor that callers of the Open Inference Protocol send for it."""
    media: tuple[str, ...]
    """Media types, ranges and suffixes of the files that it takes."""

    @property
    def in_body(self) -> bool:
        """Tell whether it may be in a body."""
        return "form" in self.locations or "json" in self.locations

    def facts(self) -> "Argument":
        """Return these facts alone."""
        names = [one.name for one in dataclasses.fields(Argument)]
        return Argument(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class DeclaredArgument(Argument):
    """An argument with its field, which the author has declared."""

    field: Field
    hints: Hints = dataclasses.field(default_factory=Hints)


def read_schema(definition: Any) -> marshmallow.Schema:
    """Return the schema of a definition. Raises TypeError or ValueError."""
    if isinstance(definition, marshmallow.Schema):
        return definition
    if isinstance(definition, type) and issubclass(definition, marshmallow.Schema):
        return definition()
    if not isinstance(definition, Mapping):
        raise TypeError(
            "must return a dict of fields or a marshmallow Schema, "
            f"not a {type(definition).__name__}"
        )
    for name, value in definition.items():
        if name == "Meta":
            raise ValueError("no argument can be named 'Meta': marshmallow takes it")
        if not (isinstance(name, str) and is_field(value)):
            raise TypeError(f"argument {name!r} is not a marshmallow field: {value!r}")
    declared = {
        name: value() if isinstance(value, type) else value
        for name, value in definition.items()
    }
    return marshmallow.Schema.from_dict(declared, name="Arguments")()


def read_locations(name: str, field: Field) -> tuple[str, ...]:
    """Return the locations in which a value is looked for. Raises ValueError."""
    location = field.metadata.get("location")
    if location is None:
        return ("form",) if _takes_file(field) else EVERYWHERE
    if location not in LOCATIONS:
        raise ValueError(f"argument {name!r} has an unknown location: {location!r}")
    return (LOCATIONS[location],)


def read_argument(
    attribute: str, field: Field, locations: tuple[str, ...]
) -> DeclaredArgument:
    """Return the argument of a field."""
    is_list = isinstance(field, fields.List)
    inner = field.inner if isinstance(field, fields.List) else field
    is_file = _takes_file(field)
    return DeclaredArgument(
        name=field.data_key or attribute,
        attribute=attribute,
        field=field,
        locations=locations,
        # Not webargs' DelimitedList: that is one text.
        multiple=is_list and not hasattr(field, "delimiter"),
        is_file=is_file,
        structured=isinstance(inner, fields.Nested | fields.Mapping | fields.Tuple),
        is_list=is_list,
        lists_arrays=isinstance(inner, fields.List | fields.Tuple)
        or (isinstance(inner, fields.Nested) and inner.many),
        refuses_files=not is_file and _refuses_files(field),
        required=field.required,
        media=read_hints(field, is_file=is_file).media,
        tensor=read_tensor(field, _takes_file),
        hints=read_hints(field, is_file=is_file),
    )


def _takes_file(field: Field) -> bool:
    inner = getattr(field, "inner", field)
    return "file" in (field.metadata.get("type"), inner.metadata.get("type"))


def _refuses_files(field: Field) -> bool:
    if isinstance(field, fields.List):
        return _refuses_files(field.inner)
    if isinstance(field, fields.Function | fields.Method):
        return False  # the author's own
    read = type(field)._deserialize
    library = read.__module__.partition(".")[0] in ("marshmallow", "webargs")
    return library and read is not Field._deserialize
