"""Fields as tensors of the Open Inference Protocol (doc/inference.md has the table)."""

from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import Schema, fields
from marshmallow.fields import Field

from deepaas.tensors.specs import FILE, JSON, TEXT, TensorSpec

_INTEGER = TensorSpec("INT64")
_NUMBER = TensorSpec("FP64")
_BOOLEAN = TensorSpec("BOOL")
_TEXT = TensorSpec("BYTES", content_type=TEXT)
ANY_TENSOR = TensorSpec("BYTES", content_type=JSON)
"""The tensor of a value of any type: its JSON text."""

_FILE = TensorSpec("BYTES", content_type=FILE)

# The first that fits: some of these inherit from others.
_BY_KIND: tuple[tuple[tuple[type[Field], ...], TensorSpec], ...] = (
    ((fields.Integer,), _INTEGER),
    ((fields.Decimal,), _TEXT),
    ((fields.Number,), _NUMBER),
    ((fields.Boolean,), _BOOLEAN),
    (
        (
            fields.String,
            fields.DateTime,
            fields.Time,
            fields.TimeDelta,
            fields.IP,
            fields.IPInterface,
        ),
        _TEXT,
    ),
)


def read_tensor(field: Field, takes_file: Callable[[Field], bool]) -> TensorSpec:
    """Returns the tensor of a field; a value that no other fits is JSON."""
    if isinstance(field, fields.List):
        inner = _FILE if takes_file(field) else read_tensor(field.inner, takes_file)
        if inner.content_type == JSON:
            return ANY_TENSOR
        return TensorSpec(inner.datatype, inner.rank + 1, inner.content_type)
    if takes_file(field):
        return _FILE
    if isinstance(field, fields.Enum):
        return _read_enum(field)
    for kinds, spec in _BY_KIND:
        if isinstance(field, kinds):
            return spec
    return ANY_TENSOR


def _read_enum(field: fields.Enum) -> TensorSpec:
    """Returns the tensor of an enumeration: its names are text, its values may not."""
    values = [one.value for one in field.enum] if field.by_value else []
    is_text = all(isinstance(value, str) for value in values)
    return _TEXT if is_text else ANY_TENSOR


def read_outputs(response: Mapping[str, Any] | type | None) -> dict[str, TensorSpec]:
    """Returns the tensors that the response definition of a model declares, in order.

    A definition may nest schemas by name, so only a model that is loaded can read it.
    """
    if response is None:
        return {}
    schema = (
        Schema.from_dict(dict(response)) if isinstance(response, Mapping) else response
    )
    return {
        field.data_key or name: read_tensor(field, lambda field: False)
        for name, field in schema().fields.items()
    }
