"""Annotations as arguments: from a function's signature to marshmallow fields.

The fields are of marshmallow's own classes, so that they can be pickled and loaded in
another process. They load what JSON can hold; `AnnotatedFunction` makes dataclasses,
enums, sets and paths of it where the function is.
"""

import functools
import inspect
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import Parameter
from types import SimpleNamespace
from typing import Any

from marshmallow.fields import Field

from deepaas.arguments.annotated_types import Kind, NoForm, UnknownType, read_type
from deepaas.errors import authors_errors
from deepaas.model.signatures import is_annotated, parameters

HELP = (
    "str, int, float, bool, datetime, date, time, timedelta, UUID, Decimal, Enum, "
    "Literal, Optional, list, tuple, set, dict, a dataclass, UploadedFile and Path "
    "can be"
)
"""The types that can be arguments, for the message on another one."""


@dataclass(frozen=True)
class AnnotatedFunction:
    """A function whose annotations are its arguments."""

    fields: Mapping[str, Field]
    """By the names of its parameters."""
    description: str
    """Its docstring, or nothing."""
    _kinds: Mapping[str, Kind]
    _positional: Mapping[str, Any]
    """Defaults of its positional-only parameters, in their order."""

    def convert(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return loaded arguments as values of the annotated types.

        Raises a DeepaasError with the status 422 for values that an author's dataclass
        refuses.
        """
        return {name: self._kinds[name].convert(v) for name, v in kwargs.items()}

    def bind(self, kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return what to call the function with: positional and keyword arguments."""
        values = self.convert(kwargs)
        first = [values.pop(name, value) for name, value in self._positional.items()]
        return first, values


def find_annotated(model: Any, method: str) -> AnnotatedFunction | None:
    """Return the method of a model whose annotations are its arguments.

    None if the author defines its arguments, or if it has none. Raises TypeError for
    an annotation that cannot be an argument.
    """
    function = getattr(model, method, None)
    if not is_annotated(function):
        return None
    get = getattr(model, f"get_{method}_args", None)
    if get is not None:
        try:
            get()
        except NotImplementedError:
            pass
        except authors_errors():
            return None
        else:
            return None
    return read_annotations(function)


def read_annotations(function: Any) -> AnnotatedFunction | None:
    """Return a function with the arguments of its annotations.

    None if none of its parameters is annotated. Raises TypeError for an annotation
    that cannot be an argument, naming the parameter.
    """
    if not is_annotated(function):
        return None
    namespace = _namespace(function)
    kinds, fields, positional = {}, {}, {}
    for parameter in parameters(function):
        name = parameter.name
        if parameter.kind is Parameter.POSITIONAL_ONLY:
            positional[name] = parameter.default
        if parameter.annotation is not Parameter.empty:
            kinds[name] = _read_kind(parameter, namespace)
            fields[name] = _make_field(kinds[name], parameter.default)
        elif parameter.default is Parameter.empty:
            raise TypeError(f"the parameter {name!r} has no annotation")
    return AnnotatedFunction(fields, _description(function), kinds, positional)


def _read_kind(parameter: Parameter, namespace: dict[str, Any]) -> Kind:
    holder = SimpleNamespace(__annotations__={"it": parameter.annotation})
    try:
        hint = typing.get_type_hints(holder, namespace, include_extras=True)["it"]
    except authors_errors() as error:
        raise TypeError(
            f"the annotation of the parameter {parameter.name!r} cannot be resolved: "
            f"{error}"
        ) from error
    try:
        return read_type(hint)
    except UnknownType as error:
        raise TypeError(
            f"the parameter {parameter.name!r} is annotated with {error}, which "
            f"cannot be an argument: {HELP}"
        ) from error


def _make_field(kind: Kind, default: Any) -> Field:
    if default is Parameter.empty:
        return kind.make(required=True)
    try:
        return kind.make(load_default=kind.revert(default))
    except NoForm:  # an object of the author's own; the function has it anyway
        return kind.make()


def _description(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.cleandoc(getattr(function, "__doc__", None) or "")


def _namespace(function: Any) -> dict[str, Any]:
    """Return the global names of the module where a function is written."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    if not hasattr(function, "__globals__"):
        call = type(function).__call__  # an object that can be called
        function = inspect.unwrap(call)
    return getattr(function, "__globals__", {})
