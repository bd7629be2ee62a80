"""Mistakes of a model's author that can be found before its first call."""

import difflib
from collections.abc import Iterator
from inspect import getattr_static
from types import ModuleType
from typing import Any

from deepaas.arguments import Arguments
from deepaas.model.places import defined_at
from deepaas.model.signatures import find_misfit, takes_one

METHODS = ("predict", "predict_batch", "train")
"""The methods of which a model needs one."""

OPTIONAL_NAMES = ("warm", "get_metadata", "get_predict_args", "get_train_args")
"""Names that each model may have."""


def find_mistakes(model: Any, *, predict: Arguments, train: Arguments) -> list[str]:
    """Return a line for each mistake that leaves the model fit to be served.

    Raises TypeError, with a line for the message, if it cannot be served.
    """
    if not any(getattr(model, name, None) is not None for name in METHODS):
        raise TypeError(_no_method(model))
    batch = getattr(model, "predict_batch", None)
    if batch is not None and not takes_one(batch):
        place = defined_at(batch)
        raise TypeError(f"predict_batch cannot be called: it takes no list{place}")
    warnings = list(_similar_to_missing(model))
    for method, arguments in (("predict", predict), ("train", train)):
        function = getattr(model, method, None)
        if function is None or (method == "predict" and batch is not None):
            continue
        names = arguments.names_given()
        misfit = None if names is None else find_misfit(function, names)
        if misfit is None:
            continue
        calls = "cannot be called" if misfit.always else "cannot take some calls"
        line = f"{method} {calls}: {misfit.text}{defined_at(function)}"
        if misfit.always and (method == "predict" or not _predicts(model)):
            raise TypeError(line)
        warnings.append(line)
    return warnings


def _predicts(model: Any) -> bool:
    return any(getattr(model, name, None) for name in ("predict", "predict_batch"))


def _no_method(model: Any) -> str:
    """Return the error of a model without methods; it lists similar names."""
    similar = {
        name: None for wanted in METHODS for name in _similar(model, wanted, cutoff=0.7)
    }
    message = "it has neither predict, predict_batch nor train"
    if similar:
        message += "; it has " + " and ".join(
            f"{name}{defined_at(getattr_static(model, name))}"
            for name in sorted(similar)
        )
    return message + "."


def _similar_to_missing(model: Any) -> Iterator[str]:
    """Yield a line for each name that looks like one which the model lacks."""
    wanted = [*OPTIONAL_NAMES, "predict", "train"]
    if _predicts(model):
        wanted.remove("predict")
    for name in wanted:
        if getattr(model, name, None) is not None:
            continue
        for similar in _similar(model, name, cutoff=0.8):
            function = getattr_static(model, similar)
            if similar not in (*METHODS, *OPTIONAL_NAMES) and _is_own(model, function):
                place = defined_at(function)
                yield f"it has no {name}; {similar} is never called{place}"


def _similar(model: Any, wanted: str, *, cutoff: float) -> list[str]:
    """Return names of functions that look like a wanted one, the nearest first."""
    by_lower = {name.lower(): name for name in dir(model) if name[:1] != "_"}
    close = difflib.get_close_matches(wanted, by_lower, n=3, cutoff=cutoff)
    names = [by_lower[name] for name in close]
    return [name for name in names if callable(getattr_static(model, name))]


def _is_own(model: Any, function: Any) -> bool:
    """Tell whether a function is of the model itself, not one that it imports."""
    if isinstance(function, type):
        return False
    if not isinstance(model, ModuleType):
        return True
    return bool(getattr(function, "__module__", None) == model.__name__)
