"""Types of annotations: the field of each, and conversions of what the field loads."""

import collections.abc
import dataclasses
import datetime
import decimal
import enum
import functools
import json
import types
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import Any

from marshmallow import fields, validate
from marshmallow.fields import Field

from deepaas.errors import DeepaasError, text_of
from deepaas.model.v2.wrapper import UploadedFile

SCALARS: Mapping[Any, tuple[type[Field], tuple[type, ...]]] = {
    str: (fields.String, (str,)),
    int: (fields.Integer, (int,)),
    float: (fields.Float, (float, int)),
    bool: (fields.Boolean, (bool,)),
    datetime.datetime: (fields.DateTime, (datetime.datetime,)),
    datetime.date: (fields.Date, (datetime.date,)),
    datetime.time: (fields.Time, (datetime.time,)),
    datetime.timedelta: (fields.TimeDelta, (datetime.timedelta,)),
    uuid.UUID: (fields.UUID, (uuid.UUID,)),
    decimal.Decimal: (fields.Decimal, (decimal.Decimal, int)),
}
"""The field of each simple type, and the types that a default may have."""


class UnknownType(TypeError):
    """A type that cannot be an argument; its text is the type's name."""


class NoForm(Exception):
    """A default that no field could have loaded."""


def _same(value: Any) -> Any:
    return value


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type: its field, and the conversions between it and what the field loads."""

    field: Callable[..., Field]
    """Makes the field, with options."""
    revert_value: Callable[[Any], Any]
    """Returns what the field loads for a value of the type. Raises NoForm."""
    convert_value: Callable[[Any], Any] = _same
    """Returns a value of the type for what the field loads."""
    validators: tuple[Callable[[Any], Any], ...] = ()
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optional: bool = False
    """None is allowed."""
    is_file: bool = False

    def make(self, **options: Any) -> Field:
        """Return a new field."""
        if self.optional:
            options["allow_none"] = True
        if self.validators:
            options["validate"] = list(self.validators)
        return self.field(metadata=dict(self.metadata), **options)

    def convert(self, value: Any) -> Any:
        """Return a value of the type for a loaded one; None stays None."""
        return None if value is None else self.convert_value(value)

    def revert(self, value: Any) -> Any:
        """Return what the field loads for a value. Raises NoForm."""
        return None if value is None else self.revert_value(value)


def read_type(hint: Any, within: tuple[Any, ...] = ()) -> Kind:
    """Return the kind of a resolved annotation; `within` are the dataclasses around it.

    Raises UnknownType.
    """
    hint = _named_type(hint)
    if not isinstance(hint, collections.abc.Hashable):
        raise UnknownType(_name(hint))
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        base, *extras = typing.get_args(hint)
        return _with_extras(read_type(base, within), extras)
    if origin in (typing.Union, types.UnionType):
        return _read_optional(hint, within)
    if origin is typing.Literal:
        return _read_literal(hint)
    if hint in SCALARS:
        field, accepted = SCALARS[hint]
        return Kind(field, functools.partial(_check_type, accepted=accepted))
    if hint is Any:
        return Kind(fields.Raw, _check_json)
    if hint is UploadedFile:
        return _file(_same)
    if hint in (Path, PurePath):
        return _file(lambda uploaded: hint(uploaded.filename or ""))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _read_enum(hint)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _read_dataclass(hint, within)
    return _read_container(hint, origin or hint, within)


def _named_type(hint: Any) -> Any:
    """Return the type behind NewType and the statement `type`."""
    while True:
        if isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        else:
            return hint


def _with_extras(kind: Kind, extras: Sequence[Any]) -> Kind:
    """Add what follows the type in Annotated: validators, texts and metadata.

    Anything else is for other readers of the annotation (PEP 593).
    """
    metadata = dict(kind.metadata)
    texts = [extra for extra in extras if isinstance(extra, str)]
    if texts:
        metadata["description"] = " ".join(texts)
    for extra in extras:
        if isinstance(extra, Mapping):
            metadata.update(extra)
    called = [
        extra for extra in extras if callable(extra) and not isinstance(extra, type)
    ]
    validators = (*kind.validators, *called)
    return dataclasses.replace(kind, metadata=metadata, validators=validators)


def _read_optional(hint: Any, within: tuple[Any, ...]) -> Kind:
    others = [one for one in typing.get_args(hint) if one is not types.NoneType]
    if len(others) != 1:
        raise UnknownType(_name(hint))
    return dataclasses.replace(read_type(others[0], within), optional=True)


def _read_literal(hint: Any) -> Kind:
    choices = [one for one in typing.get_args(hint) if one is not None]
    kinds = {type(choice) for choice in choices}
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise UnknownType(_name(hint))
    kind = read_type(kinds.pop())
    optional = None in typing.get_args(hint)
    validators = (validate.OneOf(choices),)
    return dataclasses.replace(kind, validators=validators, optional=optional)


def _read_enum(cls: type[enum.Enum]) -> Kind:
    """Read an enum: callers write the values if these are texts, else the names."""
    by_value = all(isinstance(member.value, str) for member in cls)
    choices = [member.value for member in cls] if by_value else list(cls.__members__)

    def revert(value: Any) -> str:
        if not isinstance(value, cls) or value.name not in cls.__members__:
            raise NoForm
        text: str = value.value if by_value else value.name
        return text

    return Kind(
        fields.String,
        revert,
        cls if by_value else cls.__getitem__,
        validators=(validate.OneOf(choices),),
    )


def _file(convert: Callable[[UploadedFile], Any]) -> Kind:
    """Return the kind of an uploaded file. It has no default but None."""
    metadata = {"type": "file", "location": "form"}
    return Kind(fields.Raw, _no_form, convert, metadata=metadata, is_file=True)


def _no_form(value: Any) -> Any:
    raise NoForm


def _check_type(value: Any, accepted: tuple[type, ...]) -> Any:
    if not isinstance(value, accepted):
        raise NoForm
    return value


def _check_json(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise NoForm from error


# -- dataclasses


def _read_dataclass(cls: type, within: tuple[Any, ...]) -> Kind:
    if cls in within:
        raise UnknownType(f"{_name(cls)}, which holds itself")
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        raise UnknownType(f"{_name(cls)}, whose {error}") from error
    declared = [one for one in dataclasses.fields(cls) if one.init]
    kinds = {
        one.name: _within(read_type(hints[one.name], (*within, cls)))
        for one in declared
    }
    nested = {one.name: _field_of(one, kinds[one.name]) for one in declared}

    def convert(values: Mapping[str, Any]) -> Any:
        try:
            return cls(**{name: kinds[name].convert(v) for name, v in values.items()})
        except (TypeError, ValueError) as error:
            message = f"{cls.__name__}: {text_of(error)}"
            raise DeepaasError(message, status=422) from error

    def revert(value: Any) -> dict[str, Any]:
        if not isinstance(value, cls):
            raise NoForm
        return {name: kind.revert(getattr(value, name)) for name, kind in kinds.items()}

    return Kind(functools.partial(fields.Nested, nested), revert, convert)


def _field_of(declared: "dataclasses.Field[Any]", kind: Kind) -> Field:
    if declared.default is not dataclasses.MISSING:
        try:
            return kind.make(load_default=kind.revert(declared.default))
        except NoForm:  # the dataclass has it anyway
            return kind.make()
    return kind.make(required=declared.default_factory is dataclasses.MISSING)


def _within(kind: Kind) -> Kind:
    """Refuse files in objects: they are parts of a form, which JSON cannot hold."""
    if kind.is_file:
        raise UnknownType("a file within an object")
    return kind


# -- lists and dicts

LISTS: Mapping[Any, Callable[[Any], Any]] = {
    list: list,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    tuple: tuple,
    set: set,
    collections.abc.Set: set,
    frozenset: frozenset,
}
"""Types that are lists in JSON, each with the type that the function gets."""

DICTS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def _read_container(hint: Any, origin: Any, within: tuple[Any, ...]) -> Kind:
    args = typing.get_args(hint)
    if origin in DICTS:
        return _read_dict(*(args or (Any, Any)), within=within)
    if origin is tuple and args and args[-1] is not ...:
        return _read_tuple([read_type(arg, within) for arg in args])
    if origin in LISTS:
        item = read_type(args[0] if args else Any, within)
        return _read_list(item, LISTS[origin])
    raise UnknownType(_name(hint))


def _read_list(item: Kind, cls: Callable[[Any], Any]) -> Kind:
    def convert(values: Any) -> Any:
        if item.convert_value is not _same:
            values = map(item.convert, values)
        elif cls is list:
            return values
        return cls(values)

    def revert(values: Any) -> list[Any]:
        if not isinstance(values, list | tuple | Set):
            raise NoForm
        reverted = [item.revert(value) for value in values]
        return sorted(reverted, key=str) if isinstance(values, Set) else reverted

    make = functools.partial(_make_list, item)
    metadata = {"location": "form"} if item.is_file else {}
    return Kind(make, revert, convert, metadata=metadata, is_file=item.is_file)


def _make_list(item: Kind, **options: Any) -> Field:
    return fields.List(item.make(), **options)


def _read_tuple(items: Sequence[Kind]) -> Kind:
    for item in items:
        _within(item)

    def convert(values: Any) -> tuple[Any, ...]:
        return tuple(i.convert(v) for i, v in zip(items, values, strict=True))

    def revert(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, tuple) or len(values) != len(items):
            raise NoForm
        return tuple(i.revert(v) for i, v in zip(items, values, strict=True))

    def make(**options: Any) -> Field:
        return fields.Tuple([item.make() for item in items], **options)

    return Kind(make, revert, convert)


def _read_dict(key: Any, value: Any, *, within: tuple[Any, ...]) -> Kind:
    keys = _within(read_type(str if key is Any else key, within))
    values = _within(read_type(value, within))

    def convert(given: Mapping[Any, Any]) -> dict[Any, Any]:
        return {keys.convert(k): values.convert(v) for k, v in given.items()}

    def revert(given: Any) -> dict[Any, Any]:
        if not isinstance(given, Mapping):
            raise NoForm
        return {keys.revert(k): values.revert(v) for k, v in given.items()}

    def make(**options: Any) -> Field:
        return fields.Dict(
            keys=None if key in (Any, str) else keys.make(),
            values=None if value is Any else values.make(),
            **options,
        )

    return Kind(make, revert, convert)


def _name(hint: Any) -> str:
    """Return a type as its author writes it."""
    if isinstance(hint, type) and not typing.get_args(hint):
        return hint.__qualname__
    return str(hint).replace("typing.", "")
