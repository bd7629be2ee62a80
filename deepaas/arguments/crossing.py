"""Definitions that cross to the server: those that need no code of the author's.

A definition crosses as a pickle of copies of its fields. It crosses only if all of its
objects are of marshmallow's, webargs' or the standard library's own classes; and the
unpickler knows no others, so that reading a definition imports nothing else.
"""

import copy
import io
import logging
import pickle
import re
import sys
from collections.abc import Mapping
from typing import Any

import marshmallow
from marshmallow import fields
from marshmallow.fields import Field

from deepaas.arguments.loading import Arguments
from deepaas.model.webargs5 import import_webargs

logger = logging.getLogger(__name__)

FIELD_MODULES = ("marshmallow.fields", "webargs.fields")

AUTHORS_FIELDS = (fields.Function, fields.Method, fields.Enum)
"""Library classes of fields whose objects hold code of the author's."""

CLASSES = {
    "builtins": {
        *("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset"),
        *("int", "list", "range", "set", "slice", "str", "tuple"),
    },
    "collections": {"OrderedDict", "deque"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "ipaddress": {
        *("IPv4Address", "IPv4Interface", "IPv4Network"),
        *("IPv6Address", "IPv6Interface", "IPv6Network"),
    },
    "marshmallow.utils": {"missing"},
    "re": {"_compile"},  # a pattern is pickled as a call of it
    "uuid": {"UUID"},
}
"""The classes of values that may cross, by module, beside fields and validators."""

METADATA = ("location", "type")
"""The keys of a field's metadata on which loading depends."""

PLAIN_SCHEMA = frozenset(
    (
        *("Meta", "opts", "_declared_fields", "_hooks", "__module__", "__doc__"),
        *(
            "__abstractmethods__",
            "_abc_impl",
            "__parameters__",
            "__static_attributes__",
        ),
        *("__qualname__", "__annotations__", "__dict__", "__weakref__"),
        *("__firstlineno__", "__orig_bases__"),
    )
)
"""The attributes of a class of schemas that has fields and no code."""

_Schemas = tuple[type[marshmallow.Schema], ...]
"""The classes of schemas around a field, the outermost first."""


class CannotCross(Exception):
    """A definition that needs the author's code; the message names the first reason."""


def pack_definition(arguments: Arguments) -> bytes | None:
    """Return a definition for `unpack_definition`; None if it cannot cross."""
    try:
        return _pack(arguments.schema)
    except CannotCross as error:
        logger.debug("Arguments are loaded where the model is: %s", error)
        return None


def _pack(schema: marshmallow.Schema) -> bytes:
    _check_plain(schema)
    copies = _copy_fields(schema.load_fields, ())
    if "accept" in copies:  # its choices may be there
        metadata = schema.load_fields["accept"].metadata
        copies["accept"].metadata |= {k: v for k, v in metadata.items() if k == "enum"}
    return _dump(copies)


def unpack_definition(packed: bytes) -> Arguments:
    """Return the arguments of a definition that has crossed.

    Raises UnpicklingError for one that was not made by `pack_definition` with these
    versions of the libraries.
    """
    import_webargs()
    return Arguments(_Unpickler(io.BytesIO(packed)).load())


# -- copies of fields, without what loading does not need


def _copy_fields(declared: Mapping[str, Field], within: _Schemas) -> dict[str, Field]:
    return {name: _copy(field, within) for name, field in declared.items()}


def _copy(field: Any, within: _Schemas) -> Any:
    cls = type(field)
    if not _is_library_field(cls) or isinstance(field, AUTHORS_FIELDS):
        raise CannotCross(f"a field of the class {cls.__qualname__}")
    copied = copy.copy(field)
    # It is not bound to a schema.
    copied.parent = copied.name = copied.root = None
    copied.metadata = {k: field.metadata[k] for k in METADATA if k in field.metadata}
    for name in ("inner", "key_field", "value_field"):
        if isinstance(inner := getattr(field, name, None), Field):
            setattr(copied, name, _copy(inner, within))
    if isinstance(field, fields.Tuple):
        copied.tuple_fields = [_copy(one, within) for one in field.tuple_fields]
    if isinstance(field, fields.Nested):
        _copy_nested(field, copied, within)
    return copied


def _copy_nested(field: fields.Nested, copied: Any, within: _Schemas) -> None:
    """Let a copy have its schema as fields."""
    schema = field.schema
    if type(schema) in within:
        raise CannotCross("a schema that holds itself")
    _check_plain(schema)
    declared = _copy_fields(schema.load_fields, (*within, type(schema)))
    copied.nested = NestedFields(declared, schema.unknown, many=schema.many)
    copied.only, copied.exclude, copied._schema = None, (), None


class NestedFields:
    """The schema of a nested field, made again where it is first needed."""

    def __init__(
        self, declared: Mapping[str, Field], unknown: str, *, many: bool
    ) -> None:
        self.declared = declared
        self.unknown = unknown
        self.many = many

    def __call__(self) -> marshmallow.Schema:
        """Return it, for marshmallow."""
        cls = marshmallow.Schema.from_dict(dict(self.declared), name="Nested")
        return cls(unknown=self.unknown, many=self.many)


def _is_library_field(cls: type) -> bool:
    if cls.__module__ not in FIELD_MODULES:
        return False
    return getattr(sys.modules.get(cls.__module__), cls.__name__, None) is cls


def _check_plain(schema: marshmallow.Schema) -> None:
    """Raise CannotCross for a schema that is more than its fields."""
    for cls in type(schema).__mro__:
        if cls is marshmallow.Schema:
            break
        if not vars(cls).keys() <= PLAIN_SCHEMA:
            raise CannotCross(f"the class {cls.__qualname__} has code")
    opts = schema.opts
    special = schema.partial or schema.context or opts.ordered or not opts.index_errors
    if any(schema._hooks.values()) or special:
        raise CannotCross(f"the class {type(schema).__qualname__} has hooks or options")


# -- pickles of known classes


def _is_known(module: str, name: str) -> bool:
    if module in ("marshmallow.fields", "marshmallow.validate", "webargs.fields"):
        found = getattr(sys.modules.get(module), name, None)
        return isinstance(found, type) and found.__module__ == module
    if module == __name__:
        return name == NestedFields.__name__
    return name in CLASSES.get(module, ())


_COMPILE = re._compile  # type: ignore[attr-defined]
"""The function that a pickled pattern calls."""


class _Pickler(pickle.Pickler):
    """Pickles objects of known classes. Raises CannotCross for others."""

    def reducer_override(self, value: Any) -> Any:
        if value is marshmallow.missing:
            return "missing"  # else it would be another one there
        cls = value if isinstance(value, type) else type(value)
        if cls is re.Pattern or value is _COMPILE:
            return NotImplemented
        if not _is_known(cls.__module__, cls.__qualname__):
            raise CannotCross(f"a value of the class {cls.__qualname__}")
        return NotImplemented


def _dump(copies: Mapping[str, Field]) -> bytes:
    pickled = io.BytesIO()
    try:
        _Pickler(pickled, protocol=5).dump(copies)
    except CannotCross:
        raise
    except (pickle.PicklingError, TypeError, AttributeError, RecursionError) as error:
        raise CannotCross(str(error)) from error
    return pickled.getvalue()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if not _is_known(module, name):
            raise pickle.UnpicklingError(f"{module}.{name} is not known here")
        return super().find_class(module, name)
