"""The outputs of calls as tensors: between worker and server, and of a batch."""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from deepaas.errors import DeepaasError
from deepaas.tensors.datatypes import BYTES, DATATYPES, Datatype, decode, join, split
from deepaas.tensors.specs import BASE64, JSON, TEXT

MEDIA_TYPE = "application/x-deepaas-tensors"
"""The media type of a reply that holds packed outputs; callers never see it."""

_HEAD = struct.Struct("<I")


NO_PARAMETERS: Mapping[str, Any] = {}  # not a mappingproxy: orjson writes dicts


class Output(NamedTuple):
    """An output: its elements are bytes as in a request."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    data: bytes | memoryview
    parameters: Mapping[str, Any] = NO_PARAMETERS
    """`content_type` of BYTES, and the `media_type` and `filename` of a file."""
    in_json: bool = False
    """`data` is the JSON of its numbers, with commas between them."""

    @property
    def place(self) -> str:
        """Returns words for messages."""
        return f"output {self.name!r}"


class Outputs(NamedTuple):
    """The outputs of one call or of a batch, in order."""

    items: Sequence[Output]
    empty: frozenset[str] = frozenset()
    """Names whose value is None, which is left out."""


def text_output(name: str, elements: Sequence[bytes], content_type: str) -> Output:
    """Returns a vector of texts."""
    shape = (len(elements),)
    return Output(name, BYTES, shape, join(elements), {"content_type": content_type})


def numbers_text(output: Output) -> bytes:
    """Returns the JSON of the numbers of an output, with commas between them."""
    return orjson.dumps(decode(output.datatype, output.data, output.place))[1:-1]


# -- between worker and server


def pack(outputs: Outputs) -> bytes:
    """Returns outputs as a worker sends them: a head in JSON, then their bytes."""
    head = orjson.dumps(
        [
            sorted(outputs.empty),
            [
                (
                    one.name,
                    one.datatype.name,
                    one.shape,
                    len(one.data),
                    one.parameters,
                    one.in_json,
                )
                for one in outputs.items
            ],
        ]
    )
    return b"".join((_HEAD.pack(len(head)), head, *(o.data for o in outputs.items)))


def unpack(body: bytes | memoryview) -> Outputs:
    """Returns the outputs that a worker sent. Their bytes are not copied."""
    view = memoryview(body)
    end = _HEAD.size + _HEAD.unpack_from(view)[0]
    empty, heads = orjson.loads(view[_HEAD.size : end])
    items = []
    for name, datatype, shape, size, *rest in heads:
        start, end = end, end + size
        data = view[start:end]
        items.append(Output(name, DATATYPES[datatype], tuple(shape), data, *rest))
    return Outputs(items, frozenset(empty))


# -- batches


def stack(rows: Sequence[Outputs]) -> Outputs:
    """Returns the outputs of a batch: those of its calls, one more dimension in front.

    Raises DeepaasError for calls whose outputs have different names.
    """
    first = rows[0]
    names = [one.name for one in first.items]
    for index, row in enumerate(rows):
        if sorted(one.name for one in row.items) != sorted(names):
            raise DeepaasError(
                f"The outputs of row {index} are not those of row 0: "
                f"{_list(one.name for one in row.items)} and {_list(names)}."
            )
    by_name = [{one.name: one for one in row.items} for row in rows]
    return Outputs([_stack([row[n] for row in by_name]) for n in names], first.empty)


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


def _stack(parts: Sequence[Output]) -> Output:
    first = parts[0]
    if len({(one.datatype, one.shape) for one in parts}) > 1 or not _alike(parts):
        return _stack_as_json(parts)
    # A single value is [1]: N of them are [N, 1], as [N, k] are N vectors.
    shape = (len(parts), *first.shape)
    parameters: Mapping[str, Any]
    parameters = {k: v for k, v in first.parameters.items() if k == "content_type"}
    if all(one.parameters == first.parameters for one in parts):
        parameters = first.parameters
    between = b"," if first.in_json and first.data else b""
    data = between.join(one.data for one in parts)
    return first._replace(shape=shape, data=data, parameters=parameters)


def _alike(parts: Sequence[Output]) -> bool:
    """Tells whether the contents of BYTES are of one type."""
    return len({one.parameters.get("content_type") for one in parts}) == 1


def _stack_as_json(parts: Sequence[Output]) -> Output:
    texts = [orjson.dumps(json_value(one)) for one in parts]
    parameters = {"content_type": JSON}
    return Output(parts[0].name, BYTES, (len(parts), 1), join(texts), parameters)


def json_value(output: Output) -> Any:
    """Returns an output as the JSON value that its model returned, nearly."""
    if output.in_json:
        elements = orjson.loads(b"[%b]" % bytes(output.data))
    else:
        elements = decode(output.datatype, output.data, output.place)
    if output.datatype is BYTES:
        read = {JSON: orjson.loads, TEXT: _text}.get(
            output.parameters.get("content_type", ""), _base64
        )
        elements = [read(one) for one in elements]
    if output.shape == (1,):
        return elements[0]
    for dimension in range(len(output.shape) - 1, 0, -1):
        size, count = output.shape[dimension], math.prod(output.shape[:dimension])
        elements = [elements[i * size : (i + 1) * size] for i in range(count)]
    return elements


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


def _base64(data: bytes) -> str:
    import base64

    return base64.b64encode(data).decode()


__all__ = ["BASE64", "MEDIA_TYPE", "Output", "Outputs", "pack", "split", "stack"]
