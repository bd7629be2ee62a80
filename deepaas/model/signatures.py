"""Signatures of a model's methods: their parameters, and the calls that fit them."""

import inspect
from collections.abc import Mapping
from functools import partial
from inspect import Parameter, Signature
from types import FunctionType, MethodType
from typing import Any, NamedTuple

_SEVERAL = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
"""Kinds of parameters that take any number of values."""


def parameters(function: Any) -> list[Parameter]:
    """Return the parameters that take one value each, as the author wrote them.

    Of a function that `functools.wraps` decorates, those of the wrapped one.
    """
    signature = _signature(function, follow_wrapped=True)
    found = () if signature is None else signature.parameters.values()
    return [parameter for parameter in found if parameter.kind not in _SEVERAL]


def is_annotated(function: Any) -> bool:
    """Tell whether any parameter that takes one value is annotated."""
    found = parameters(function) if callable(function) else ()
    return any(each.annotation is not each.empty for each in found)


class Misfit(NamedTuple):
    """The reason why calls do not fit a function."""

    text: str
    always: bool
    """Every call fails, not only some."""


def find_misfit(function: Any, given: Mapping[str, bool]) -> Misfit | None:
    """Compare a function with the keyword arguments that it will be called with.

    `given` tells for each name whether every call has it. None if the function fits,
    or if that cannot be known: a decorator may take anything and pass on something
    else.
    """
    signature = _called_signature(function)
    if signature is None:
        return None
    found = signature.parameters.values()
    takes_any = any(each.kind is Parameter.VAR_KEYWORD for each in found)
    by_keyword = {
        each.name
        for each in found
        if each.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    }
    refused = [name for name in given if not takes_any and name not in by_keyword]
    missing = [
        each.name
        for each in found
        if each.kind not in _SEVERAL
        and each.default is each.empty
        and not (each.name in by_keyword and given.get(each.name))
    ]
    never = [name for name in missing if name not in given or name not in by_keyword]
    refused_always = [name for name in refused if given[name]]
    if always := [*_refused(refused_always), *_missing(never)]:
        return Misfit(" and ".join(always), always=True)
    if sometimes := [*_refused(refused), *_missing(missing, "may be absent")]:
        return Misfit(" and ".join(sometimes), always=False)
    return None


def _refused(names: list[str]) -> list[str]:
    return [f"it does not take {_listed(names)}"] if names else []


def _missing(names: list[str], why: str = "is not among its arguments") -> list[str]:
    return [f"it needs {_listed(names)}, which {why}"] if names else []


def _listed(names: list[str]) -> str:
    return " and ".join(map(repr, names))


def takes_one(function: Any) -> bool:
    """Tell whether a function can be called with one value, as far as is known."""
    signature = _called_signature(function)
    try:
        if signature is not None:
            signature.bind(None)
    except TypeError:
        return False
    return True


def _called_signature(function: Any) -> Signature | None:
    """Return the signature of what is called itself: a decorator may add arguments."""
    inner = function.func if isinstance(function, partial) else function
    inner = inner.__func__ if isinstance(inner, MethodType) else inner
    if not isinstance(inner, FunctionType) or hasattr(inner, "__signature__"):
        return None
    return _signature(function, follow_wrapped=False)


def _signature(function: Any, *, follow_wrapped: bool) -> Signature | None:
    try:
        return inspect.signature(function, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):  # it is written in C, or is odd
        return None
