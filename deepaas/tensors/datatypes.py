"""Datatypes of tensors, and their elements as bytes.

Source: Open Inference Protocol, REST, "Tensor Data Types", and Triton's extension
"Binary Tensor Data": little-endian, row-major; before each element of BYTES stands its
length in 4 bytes.
"""

import array
import itertools
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deepaas.errors import BadBody

MAX_LEVELS = 32
"""Levels of nested lists that the data of a tensor may have, and its dimensions."""

STEP_ELEMENTS = 2**16
"""Elements that are looked at in one step, in which no other thread runs."""

_LENGTH = struct.Struct("<I")

_SWAPS = sys.byteorder == "big"


@dataclass(frozen=True)
class Datatype:
    """A datatype of tensors."""

    name: str
    size: int
    """Bytes of an element; 0 for BYTES, whose elements have any length."""
    code: str = ""
    """The code of its elements in the modules `array` and `struct`."""
    limits: tuple[int, int] | None = None
    """The smallest and the largest integer; None for other datatypes."""

    @property
    def is_float(self) -> bool:
        """Tells whether its elements are floating-point numbers."""
        return self.name[0] in "FB" and self.name not in ("BOOL", "BYTES")


def _integer(name: str, size: int, code: str) -> Datatype:
    bits = 8 * size
    signed = name.startswith("INT")
    limits = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return Datatype(name, size, code, limits)


BOOL = Datatype("BOOL", 1, "B")
BYTES = Datatype("BYTES", 0)
INT64 = _integer("INT64", 8, "q")
FP64 = Datatype("FP64", 8, "d")
BF16 = Datatype("BF16", 2)

DATATYPES = {
    datatype.name: datatype
    for datatype in (
        BOOL,
        _integer("UINT8", 1, "B"),
        _integer("UINT16", 2, "H"),
        _integer("UINT32", 4, "I"),
        _integer("UINT64", 8, "Q"),
        _integer("INT8", 1, "b"),
        _integer("INT16", 2, "h"),
        _integer("INT32", 4, "i"),
        INT64,
        Datatype("FP16", 2, "e"),
        BF16,
        Datatype("FP32", 4, "f"),
        FP64,
        BYTES,
    )
}
"""The datatypes by their names."""


# -- elements and bytes


def decode(
    datatype: Datatype, data: bytes | bytearray | memoryview, place: str
) -> list[Any]:
    """Returns the elements of a tensor from its bytes.

    Those of BYTES are bytes. `place` names the tensor in messages. Raises BadBody.
    """
    if datatype is BYTES:
        return [bytes(element) for element in split(data, place)]
    if len(data) % datatype.size:
        raise BadBody(
            f"{place} has {len(data)} bytes, which is not a whole number of elements "
            f"of {datatype.name}."
        )
    if datatype is BF16:
        return _decode_bf16(data)
    if datatype.code == "e":
        return list(struct.unpack(f"<{len(data) // 2}e", data))
    numbers = array.array(datatype.code)
    numbers.frombytes(data)
    if _SWAPS:
        numbers.byteswap()
    if datatype is not BOOL:
        return numbers.tolist()
    if len(numbers) and max(numbers) > 1:
        raise BadBody(f"{place} is BOOL, and has a byte other than 0 and 1.")
    return list(map(bool, numbers))


def _decode_bf16(data: bytes | bytearray | memoryview) -> list[float]:
    """Returns numbers of which only the upper half of their 4 bytes is given."""
    whole = bytearray(2 * len(data))
    whole[2::4] = data[0::2]
    whole[3::4] = data[1::2]
    return list(struct.unpack(f"<{len(data) // 2}f", whole))


def split(data: bytes | bytearray | memoryview, place: str) -> Iterator[memoryview]:
    """Yields the elements of BYTES, each after its length. Raises BadBody."""
    view, start = memoryview(data), 0
    while start < len(view):
        begin = start + _LENGTH.size
        if begin > len(view):
            raise BadBody(f"{place} ends within the length of an element.")
        start = begin + _LENGTH.unpack_from(view, start)[0]
        if start > len(view):
            raise BadBody(f"{place} ends within an element.")
        yield view[begin:start]


def join(elements: Iterable[bytes | memoryview]) -> bytes:
    """Returns the elements of BYTES as one text of bytes."""
    pieces: list[bytes | memoryview] = []
    for element in elements:
        pieces += (_LENGTH.pack(len(element)), element)
    return b"".join(pieces)


def encode(datatype: Datatype, elements: Sequence[Any]) -> bytes:
    """Returns numbers or truth values as bytes. Raises what `array` raises."""
    if datatype.code == "e":
        return struct.pack(f"<{len(elements)}e", *elements)
    numbers = array.array(datatype.code, elements)
    if _SWAPS:
        numbers.byteswap()
    return numbers.tobytes()


# -- elements in JSON


def _kinds(elements: list[Any]) -> set[type]:
    """Returns the types of the elements. A long list takes several steps."""
    if len(elements) <= STEP_ELEMENTS:
        return set(map(type, elements))
    kinds: set[type] = set()
    for start in range(0, len(elements), STEP_ELEMENTS):
        kinds.update(map(type, elements[start : start + STEP_ELEMENTS]))
    return kinds


def flatten(data: list[Any], place: str) -> tuple[list[Any], set[type]]:
    """Returns the elements of nested lists in order, and their types.

    Raises BadBody.
    """
    for _ in range(MAX_LEVELS):
        kinds = _kinds(data)
        if list not in kinds:
            return data, kinds
        if len(kinds) == 1:
            data = list(itertools.chain.from_iterable(data))
        else:
            nested = (one if type(one) is list else (one,) for one in data)
            data = list(itertools.chain.from_iterable(nested))
    raise BadBody(f"The data of {place} has more than {MAX_LEVELS} levels.")


def check(
    datatype: Datatype, elements: list[Any], kinds: set[type], place: str
) -> list[Any]:
    """Returns elements from JSON as those of a datatype. Raises BadBody.

    `kinds` are their types.
    """
    if datatype is BYTES:
        return _all(elements, kinds, {str}, place, "a string")
    if datatype is BOOL:
        return _check_bools(elements, kinds, place)
    if datatype.limits is not None:
        return _check_integers(datatype, datatype.limits, elements, kinds, place)
    _all(elements, kinds, {int, float, type(None)}, place, "a number")
    if type(None) in kinds:
        return [float("nan") if one is None else one for one in elements]
    return elements


def _check_bools(elements: list[Any], kinds: set[type], place: str) -> list[Any]:
    if kinds <= {bool}:
        return elements
    _all(elements, kinds, {bool, int}, place, "true or false")
    if set(elements) <= {0, 1}:
        return list(map(bool, elements))
    raise BadBody(f"{place} is BOOL, and has a number other than 0 and 1.")


def _check_integers(
    datatype: Datatype,
    limits: tuple[int, int],
    elements: list[Any],
    kinds: set[type],
    place: str,
) -> list[Any]:
    if float in kinds:
        elements = [
            int(one) if type(one) is float and one.is_integer() else one
            for one in elements
        ]
        kinds = set(map(type, elements))
    _all(elements, kinds, {int}, place, "an integer")
    if elements and not (min(elements) >= limits[0] and max(elements) <= limits[1]):
        raise BadBody(f"{place} has a number that {datatype.name} cannot hold.")
    return elements


def _all(
    elements: list[Any], kinds: set[type], wanted: set[type], place: str, words: str
) -> list[Any]:
    """Returns the elements if all have a wanted type. Raises BadBody for the first."""
    if kinds <= wanted:
        return elements
    index = _first(elements, lambda one: type(one) not in wanted)
    raise BadBody(f"Element {index} of {place} is not {words}.")


def _first(elements: list[Any], is_wrong: Callable[[Any], bool]) -> int:
    return next(index for index, one in enumerate(elements) if is_wrong(one))
