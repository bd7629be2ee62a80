"""From the tensors of a request to the values of its calls."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deepaas.errors import BadBody
from deepaas.tensors.datatypes import BOOL, BYTES, FP64, INT64, check, decode, flatten
from deepaas.tensors.numbers import Elements, Numbers, nest, pack_bytes, pack_list
from deepaas.tensors.request import InferRequest, Input
from deepaas.tensors.specs import BASE64, JSON, TEXT, Signature, TensorSpec

MAX_ROWS = 1000
"""Calls that a request may make."""


class Column(NamedTuple):
    """The values of one argument."""

    values: Sequence[Any]
    batched: bool
    """There is one for each call; otherwise there is one for all."""


class Rows(NamedTuple):
    """The values of the calls that a request makes."""

    values: list[dict[str, Any]]
    batched: bool
    """The request is a batch, perhaps of one row or of none."""


# -- elements


def check_kind(given: Input, spec: TensorSpec) -> None:
    """Refuses numbers for BYTES and the reverse, before elements are read.

    Raises BadBody. Numbers of any datatype fit any numeric argument: the field decides
    on the value.
    """
    if given.datatype is BYTES:
        fits = spec.datatype == BYTES.name or _is_json(given, spec)
    else:
        fits = spec.datatype != BYTES.name
    if spec.is_file and given.text_parameter("content_type") == JSON:
        raise BadBody(f"{given.place} is JSON, the argument takes files.")
    if not fits:
        raise BadBody(
            f"{given.place} is {given.datatype.name}, the argument takes "
            f"{spec.datatype}."
        )


def _is_json(given: Input, spec: TensorSpec) -> bool:
    """Tells whether each element is the JSON text of a whole argument."""
    if given.datatype is not BYTES or spec.is_file:
        return False
    return _content_type(given, spec) == JSON


def _content_type(given: Input, spec: TensorSpec) -> str | None:
    asked = given.text_parameter("content_type")
    if asked in (BASE64, JSON, TEXT):
        return asked
    return TEXT if asked == "np" else spec.content_type


def read_elements(
    given: Input, spec: TensorSpec, tail: bytes | None = None
) -> Elements:
    """Returns the elements of an input as values of its argument.

    `tail` has its bytes, unless its elements are in the JSON. The elements of files are
    bytes. Raises BadBody.
    """
    check_kind(given, spec)
    if spec.rank and (numbers := _pack_numbers(given, spec, tail)) is not None:
        _check_count(given, len(numbers))
        return numbers
    if tail is None:
        assert given.data is not None
        elements, kinds = flatten(given.data, given.place)
        _check_count(given, len(elements))
        elements = check(given.datatype, elements, kinds, given.place)
    else:
        elements = decode(given.datatype, tail, given.place)
        _check_count(given, len(elements))
    if given.datatype is not BYTES:
        return elements
    if spec.is_file:
        return _read_files(given, elements, binary=tail is not None)
    content_type = _content_type(given, spec)
    return [
        _read_text(one, content_type, f"Element {index} of {given.place}")
        for index, one in enumerate(elements)
    ]


def _pack_numbers(given: Input, spec: TensorSpec, tail: bytes | None) -> Numbers | None:
    """Returns numbers as bytes; None for those that need a look at each element."""
    datatype = given.datatype
    if datatype is BOOL or spec.datatype not in (FP64.name, INT64.name):
        return None
    if tail is not None:
        return pack_bytes(datatype.code, tail, given.shape)
    if not given.plain or not datatype.code:
        return None
    code = datatype.code
    if datatype.is_float:
        if spec.datatype == INT64.name:
            return None  # an integer of more than 53 bits would be rounded
        code = FP64.code  # JSON gives more digits than the datatype holds
    data = given.data or []
    if data and type(data[0]) is list:
        data, _ = flatten(data, given.place)
    return pack_list(code, data, given.shape)


def _check_count(given: Input, count: int) -> None:
    if count != given.length:
        shape = list(given.shape)
        raise BadBody(
            f"{given.place} has {count} elements; its shape {shape} makes "
            f"{given.length}."
        )


def _read_files(given: Input, elements: list[Any], *, binary: bool) -> list[bytes]:
    """Returns the contents of files."""
    asked = given.text_parameter("content_type")
    if binary and asked != BASE64:
        return elements
    if not binary and asked == TEXT:
        return [text.encode("utf-8", "surrogatepass") for text in elements]
    return [
        _decode_base64(one, f"Element {index} of {given.place}")
        for index, one in enumerate(elements)
    ]


def _read_text(element: str | bytes, content_type: str | None, place: str) -> Any:
    if content_type == BASE64:
        element = _decode_base64(element, place)
    if isinstance(element, bytes):
        try:
            element = element.decode()
        except UnicodeDecodeError as error:
            raise BadBody(f"{place} is not UTF-8: {error}.") from error
    if content_type != JSON:
        return element
    try:
        return json.loads(element)
    except (ValueError, RecursionError) as error:
        raise BadBody(f"{place} is not JSON: {error}.") from error


def _decode_base64(text: str | bytes, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadBody(f"{place} is not base64: {error}.") from error


# -- rows


def arrange(given: Input, spec: TensorSpec, elements: Elements) -> Column:
    """Arranges elements as the values of an argument, one or many. Raises BadBody."""
    rank = 0 if _is_json(given, spec) else spec.rank
    shape = given.shape
    if len(shape) > rank and shape[0] > MAX_ROWS:
        raise BadBody(
            f"{given.place} is a batch of {shape[0]} rows; {MAX_ROWS} is the limit."
        )
    if rank == 0 and not isinstance(elements, Numbers):
        if any(length != 1 for length in shape[1:]):
            raise BadBody(
                f"{given.place} has shape {list(shape)}; its argument takes one "
                "element, so a batch of N has shape [N] or [N, 1]."
            )
        return Column(elements, len(elements) != 1 or len(shape) > 1)
    if len(shape) == rank:
        if isinstance(elements, Numbers):
            return Column([elements], False)
        return Column([nest(elements, shape)], False)
    if len(shape) == rank + 1:
        if isinstance(elements, Numbers):
            return Column(elements.rows(), True)
        return Column(nest(elements, shape), True)
    raise BadBody(
        f"{given.place} has shape {list(shape)}; its argument takes "
        f"{rank} dimension{'s' if rank > 1 else ''}, and one more for a batch."
    )


def make_rows(
    request: InferRequest, signature: Signature, columns: Mapping[str, Column]
) -> Rows:
    """Returns the values of each call. Raises BadBody.

    Parameters of the request that are named as arguments are values of every call.
    """
    lengths = {name: len(c.values) for name, c in columns.items() if c.batched}
    if len(set(lengths.values())) > 1:
        have = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise BadBody(f"The inputs disagree on the batch: {have}.")
    count = next(iter(lengths.values()), 1)
    common = _values_of_parameters(request, signature)
    common |= {n: c.values[0] for n, c in columns.items() if not c.batched}
    batched = {name: columns[name].values for name in lengths}
    rows = [
        common | {name: values[index] for name, values in batched.items()}
        for index in range(count)
    ]
    return Rows(rows, bool(lengths))


def _values_of_parameters(
    request: InferRequest, signature: Signature
) -> dict[str, Any]:
    values = {}
    for name, value in request.parameters.items():
        spec = signature.specs.get(name)
        if spec is None and name != signature.accept:
            continue
        if spec is not None and spec.is_file:
            raise BadBody(f"The parameter {name!r} is a file: send it as an input.")
        values[name] = value
    return values
