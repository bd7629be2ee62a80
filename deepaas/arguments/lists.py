"""Loads lists of numbers at the speed of a check of their types.

marshmallow needs 1.5 s for a picture of 224 x 224 x 3 numbers: it calls three methods
for each number. A list that needs no more than that check is found here, and everything
else is left to marshmallow, so that values and messages are always its own.
"""

import math
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, TypeAlias

from marshmallow import fields
from marshmallow.fields import Field

from deepaas.tensors.numbers import FLOATS, Numbers

Load: TypeAlias = Callable[[Any, str, Mapping[str, Any]], Any]
"""Loads a value, as `Field.deserialize` does: value, name, and all values."""


def choose_load(field: Field) -> Load:
    """Return a function with the results and errors of the field's `deserialize`."""
    depth, leaf = 0, field
    while type(leaf) is fields.List and (leaf is field or _is_plain(leaf)):
        depth, leaf = depth + 1, leaf.inner
    if depth and type(leaf) in (fields.Float, fields.Integer) and _is_plain(leaf):
        return NumberLists(field, depth, leaf)
    return field.deserialize


def unpack(value: Any) -> Any:
    """Return a value as fields take it: numbers that are bytes become lists."""
    return value.to_list() if type(value) is Numbers else value


def load_tensor(field: Field) -> Load:
    """Return what `choose_load` does, for numbers that are bytes too."""
    load = choose_load(field)
    if isinstance(load, NumberLists) or not isinstance(field, fields.List):
        return load  # only lists come as numbers
    return lambda value, name, values: load(unpack(value), name, values)


def _is_plain(field: Field) -> bool:
    return not field.validators and not field.allow_none


class NumberLists:
    """Loads lists of numbers, or lists of such lists, `depth` levels deep."""

    def __init__(self, field: Field, depth: int, leaf: Field) -> None:
        self._field = field
        self._depth = depth
        self._type = float if type(leaf) is fields.Float else int
        self._finite = getattr(leaf, "allow_nan", None) is False
        strict = getattr(leaf, "strict", False)
        self._convertible = {int} if strict else {int, float}

    def __call__(self, value: Any, name: str, values: Mapping[str, Any]) -> Any:
        """Return the loaded list: the same object if nothing had to be converted."""
        if type(value) is Numbers:
            if (numbers := self._check(value)) is not None:
                return numbers
            value = value.to_list()
        try:
            loaded = self._load(value)
        except (ValueError, OverflowError):  # NaN for an int, a number too large
            loaded = None
        if loaded is None:
            return self._field.deserialize(value, name, values)
        if self._field.validators:
            self._field._validate(loaded)
        return loaded

    def _check(self, numbers: Numbers) -> Numbers | None:
        """Return numbers as the model gets them; None to load them as a list."""
        if self._field.validators or len(numbers.shape) != self._depth:
            return None
        if self._type is int:
            return None if numbers.code in FLOATS else numbers
        if self._finite and not numbers.is_finite():
            return None
        return numbers.as_floats()

    def _load(self, value: Any) -> list[Any] | None:
        """Return None for a value that is left to marshmallow."""
        if type(value) is not list:
            return None
        lists = [value]
        for _ in range(self._depth - 1):
            lists = list(chain.from_iterable(lists))
            if not set(map(type, lists)) <= {list}:
                return None
        types = set(map(type, chain.from_iterable(lists)))
        if not types <= self._convertible:
            return None
        if self._finite and not all(map(math.isfinite, chain.from_iterable(lists))):
            return None
        same = types <= {self._type}
        return value if same else self._convert(value, self._depth)

    def _convert(self, value: list[Any], depth: int) -> list[Any]:
        if depth == 1:
            return list(map(self._type, value))
        return [self._convert(one, depth - 1) for one in value]
