"""Lists of numbers as bytes: these are checked and sent to a worker as a whole.

A list of 1,024 numbers takes the server 0.1 ms to check and to pickle, and bytes take a
tenth of that. The model gets a list: a worker unpickles one.
"""

import array
import math
import struct
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

FLOATS = "fd"
"""The codes of floating-point numbers."""

_CODES = frozenset("bBhHiIqQ" + FLOATS)


class Numbers:
    """Numbers as bytes, in the order and the sizes of this machine."""

    __slots__ = ("_finite", "code", "data", "shape")

    def __init__(
        self, code: str, data: bytes, shape: tuple[int, ...], *, finite: bool = False
    ) -> None:
        self.code = code
        """The code of each number in the modules `array` and `struct`."""
        self.data = data
        self.shape = shape
        """The lengths of the nested lists."""
        self._finite = finite or code not in FLOATS

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.code, self.data, self.shape)

    def __len__(self) -> int:
        """Return the number of elements, nested ones too."""
        return len(self.data) // struct.calcsize(f"={self.code}")

    def to_list(self) -> list[Any]:
        """Return them as Python's numbers, in nested lists."""
        return _restore(self.code, self.data, self.shape)

    def is_finite(self) -> bool:
        """Tell whether no number is NaN or infinite; may be False for huge ones."""
        # One that is not finite makes the sum so; and this is faster than a look at
        # each. The sum of huge numbers overflows.
        return self._finite or math.isfinite(sum(self._array()))

    def as_floats(self) -> "Numbers":
        """Return them as floating-point numbers; each is what `float` makes of it."""
        if self.code in FLOATS:
            return self
        data = array.array("d", self._array()).tobytes()
        return Numbers("d", data, self.shape, finite=True)

    def rows(self) -> list["Numbers"]:
        """Return one for each index of the first dimension."""
        count, *shape = self.shape
        size = len(self.data) // count if count else 0
        return [
            Numbers(
                self.code,
                self.data[index * size : (index + 1) * size],
                tuple(shape),
                finite=self._finite,
            )
            for index in range(count)
        ]

    def _array(self) -> "array.array[Any]":
        return _array(self.code, self.data)


Elements: TypeAlias = list[Any] | Numbers
"""The elements of a tensor."""


def _array(code: str, data: bytes) -> "array.array[Any]":
    numbers = array.array(code)
    numbers.frombytes(data)
    return numbers


def _restore(code: str, data: bytes, shape: tuple[int, ...]) -> list[Any]:
    return nest(_array(code, data).tolist(), shape)


def nest(elements: Sequence[Any], shape: Sequence[int]) -> list[Any]:
    """Return elements as nested lists."""
    for dimension in range(len(shape) - 1, 0, -1):
        size, count = shape[dimension], math.prod(shape[:dimension])
        elements = [elements[i * size : (i + 1) * size] for i in range(count)]
    return list(elements)


def pack_list(
    code: str, elements: Sequence[Any], shape: tuple[int, ...]
) -> Numbers | None:
    """Return finite numbers as bytes; None if an element does not fit this code.

    Truth values must not be among them: they would be numbers.
    """
    if code not in _CODES:
        return None
    try:
        data = struct.pack(f"={len(elements)}{code}", *elements)
    except (struct.error, OverflowError, TypeError):
        return None
    return Numbers(code, data, shape, finite=True)


def pack_bytes(code: str, data: bytes, shape: tuple[int, ...]) -> Numbers | None:
    """Return the little-endian bytes of numbers; None if this machine has others."""
    if code not in _CODES or sys.byteorder != "little":
        return None
    return Numbers(code, data, shape)
