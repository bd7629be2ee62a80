"""Makes tensors of what a model returned, in the worker: numpy is here, if it is used.

The rules are those of the table in doc/inference.md.
"""

import dataclasses
import itertools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from deepaas.encoding import encode_json, encode_png
from deepaas.errors import authors_errors
from deepaas.executors.messages import Reply, TensorForm
from deepaas.executors.replies import (
    Validate,
    check,
    file_reply,
    is_file,
    media_reply,
    text_bytes,
)
from deepaas.media_types import PNG, is_json
from deepaas.tensors.datatypes import (
    BOOL,
    BYTES,
    DATATYPES,
    FP64,
    INT64,
    Datatype,
    encode,
    join,
)
from deepaas.tensors.outputs import (
    MEDIA_TYPE,
    Output,
    Outputs,
    numbers_text,
    pack,
    text_output,
)
from deepaas.tensors.specs import BASE64, JSON, TEXT

ONLY = "predictions"
"""The name of the output of a model that returns no dict."""

_NUMPY = {
    "b": {1: "BOOL"},
    "i": {1: "INT8", 2: "INT16", 4: "INT32", 8: "INT64"},
    "u": {1: "UINT8", 2: "UINT16", 4: "UINT32", 8: "UINT64"},
    "f": {2: "FP16", 4: "FP32", 8: "FP64"},
}
"""Datatypes by numpy's kind and size of an element."""

_CODES = {
    name: f"{kind}{size}"
    for kind, sizes in _NUMPY.items()
    for size, name in sizes.items()
}
"""Numpy's codes by datatype."""

_PYTHON: Mapping[type, Datatype] = {bool: BOOL, int: INT64, float: FP64}


class Returned(NamedTuple):
    """The result of a call, and the facts that are needed to send its files."""

    value: Any
    media_type: str | None
    """The caller's choice, None for none."""
    given: Mapping[str, Any]
    """The arguments of the call."""
    started: float
    """The time of its start, in seconds since the epoch."""


def make_tensors(
    returned: Returned,
    *,
    validate: Validate | None,
    declared: Mapping[str, str],
    form: TensorForm = "bytes",
) -> Reply:
    """Returns a reply that holds the outputs of a call.

    `declared` are the datatypes of outputs by the model's schema. Raises TypeError or
    ValueError for what cannot be sent.
    """
    value, media_type = returned.value, returned.media_type
    chosen = media_type is not None and not is_json(media_type)
    if is_file(value) or (chosen and value is not None):
        return Reply(MEDIA_TYPE, pack(Outputs([_file(ONLY, returned)])))
    if validate is not None:
        check(encode_json(value), validate)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if not (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
        value = {ONLY: value}
    outputs, empty = [], set()
    for key, one in value.items():
        name = text_bytes(key).decode()
        if one is None:
            empty.add(name)
        elif is_file(one):
            part = returned._replace(value=one, media_type=None)
            outputs.append(_file(name, part))
        else:
            outputs.append(_output(name, one, declared.get(name)))
    if form == "json":
        outputs = [_with_text(one) for one in outputs]
    return Reply(MEDIA_TYPE, pack(Outputs(outputs, frozenset(empty))))


# -- files


def _file(name: str, returned: Returned) -> Output:
    """Returns a file, or what is sent as one, as an output of a single element."""
    value, media_type = returned.value, returned.media_type
    if is_file(value):
        reply = file_reply(value, media_type, returned.given, returned.started)
    else:
        assert media_type is not None
        reply = media_reply(value, media_type)
    parameters: dict[str, Any] = {
        "content_type": BASE64,
        "media_type": reply.media_type,
    }
    if reply.filename:
        parameters["filename"] = text_bytes(reply.filename).decode()
    return Output(name, BYTES, (1,), join([_content(reply)]), parameters)


def _content(reply: Reply) -> bytes | memoryview:
    if reply.path is None:
        return reply.body or b""
    with open(reply.path, "rb") as file:
        if reply.delete:
            os.unlink(reply.path)
        return file.read()


# -- values


def _output(name: str, value: Any, declared: str | None) -> Output:
    """Returns a value as an output, unless it is a file."""
    if (png := encode_png(value)) is not None:
        parameters = {"content_type": BASE64, "media_type": PNG}
        return Output(name, BYTES, (1,), join([png]), parameters)
    found = _of_array(name, value)
    if found is None and isinstance(value, list | tuple):
        found = _of_list(name, value, declared)
    elif found is None:
        found = _of_flat(name, [value], (1,), declared)
    if found is None:
        found = text_output(name, [encode_json(value)], JSON)
    return found


def _of_list(name: str, value: Sequence[Any], declared: str | None) -> Output | None:
    """Returns nested lists of one shape and one kind; None for others."""
    if hasattr(type(value), "_fields"):
        return None  # a named tuple is an object
    shape, flat = [len(value)], list(value)
    while flat and isinstance(flat[0], list | tuple):
        size = len(flat[0])
        if not all(isinstance(one, list | tuple) and len(one) == size for one in flat):
            return None
        shape.append(size)
        flat = list(itertools.chain.from_iterable(flat))
    if _holds_arrays(flat):
        return _of_array(name, _stacked(value))
    return _of_flat(name, flat, tuple(shape), declared)


def _of_flat(
    name: str, flat: list[Any], shape: tuple[int, ...], declared: str | None
) -> Output | None:
    """Returns elements of one kind as a tensor; None for others."""
    kinds = set(map(type, flat))
    datatype = None
    if not kinds:
        datatype = DATATYPES.get(declared or "", FP64)
        return Output(name, datatype, shape, b"", _text_parameters(datatype))
    if len(kinds) == 1:
        (kind,) = kinds
        datatype = BYTES if kind is str else _PYTHON.get(kind)
    elif kinds == {int, float}:
        datatype = FP64
    if datatype is INT64 and declared == FP64.name:
        datatype = FP64
    if datatype is None:
        return None
    if datatype is BYTES:
        data = join(map(text_bytes, flat))
        return Output(name, BYTES, shape, data, {"content_type": TEXT})
    try:
        return Output(name, datatype, shape, encode(datatype, flat))
    except OverflowError:  # an integer of more than 64 bits
        return None


def _text_parameters(datatype: Datatype) -> dict[str, Any]:
    return {"content_type": TEXT} if datatype is BYTES else {}


# -- JSON


def _with_text(output: Output) -> Output:
    """Returns an output with its numbers as JSON, which orjson writes of an array.

    A number has the digits that its datatype needs: 0.1 and not 0.10000000149011612.
    """
    if output.datatype is BYTES:
        return output
    numpy = _numpy()
    if numpy is None or not output.data:
        text = numbers_text(output)
    else:
        dtype = numpy.dtype(_CODES[output.datatype.name])
        array = numpy.frombuffer(output.data, dtype.newbyteorder("<"))
        native = array.astype(dtype, copy=False)
        text = orjson.dumps(native, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1]
    return output._replace(data=text, in_json=True)


# -- arrays


def _numpy() -> Any:
    """Returns numpy, if the model has imported it; otherwise it has no arrays."""
    return sys.modules.get("numpy")


def _holds_arrays(flat: list[Any]) -> bool:
    numpy = _numpy()
    return numpy is not None and any(
        isinstance(one, numpy.generic) or _is_array(one) for one in flat
    )


def _is_array(value: Any) -> bool:
    """Tells whether a value is an array of numpy or of a library that follows it.

    A data frame has an array too, but its columns have names, and a Series an index.
    """
    kind = type(value)
    return hasattr(kind, "__array__") and not hasattr(kind, "iloc")


def _stacked(value: Sequence[Any]) -> Any:
    """Returns one array of lists of arrays; None if they have different shapes."""
    try:
        return _numpy().asarray(
            [_as_array(one) if _is_array(one) else one for one in value]
        )
    except authors_errors():
        return None


def _as_array(value: Any) -> Any:
    """Returns an array of numpy; of torch's too, wherever they are."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if "bfloat16" in str(value.dtype):
            value = value.float()
    return _numpy().asarray(value)


def _of_array(name: str, value: Any) -> Output | None:
    """Returns an array as it is; None for other values, and without a datatype."""
    numpy = _numpy()
    if numpy is None or not _is_array(value):
        return None
    array = _as_array(value)
    shape = tuple(array.shape) or (1,)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.dtype.name == "bfloat16":  # of ml_dtypes, as jax has it
        array, kind, size = array.astype(numpy.float32), "f", 4
    elif kind == "f" and size > 8:
        array, size = array.astype(numpy.float64), 8
    if kind in "SUO":
        return _of_texts(name, array.reshape(-1).tolist(), shape)
    datatype = DATATYPES.get(_NUMPY.get(kind, {}).get(size, ""))
    if datatype is None:
        return None
    array = numpy.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    data = memoryview(array).cast("B") if array.size else b""
    return Output(name, datatype, shape, data)


def _of_texts(name: str, flat: list[Any], shape: tuple[int, ...]) -> Output | None:
    kinds = set(map(type, flat))
    if not kinds <= {str, bytes}:
        return None
    data = join(text_bytes(one) if type(one) is str else one for one in flat)
    parameters = {"content_type": TEXT} if kinds <= {str} else {}
    return Output(name, BYTES, shape, data, parameters)
