"""The JSON of a request for inference: its inputs, parameters and wanted outputs.

Source: Open Inference Protocol, REST, "Inference Request JSON Object".
"""

import json
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from deepaas.errors import BadBody
from deepaas.tensors.datatypes import BF16, DATATYPES, MAX_LEVELS, Datatype
from deepaas.tensors.long_json import decode_long_json

MAX_INPUTS = 1000
"""Inputs that a request may have."""

MAX_ELEMENTS = 2**31
"""Elements that the shape of a tensor may name."""

MAX_EMPTY_LISTS = 2**16
"""Lists that the shape of a tensor without elements may name."""

MAX_EXACT_INTEGER = 2.0**63
"""Numbers from which the quick decoder of JSON may give a float for an integer."""

MIN_LONG_BYTES = 1024 * 1024
"""Bytes of JSON from which it is decoded in steps."""

MAX_LETTERS = 100
"""Letters in JSON at which it is searched for truth values."""

HEADER = "Inference-Header-Content-Length"
"""The header with the length of the JSON before the bytes of tensors."""


class Input(NamedTuple):
    """An input of a request. Its elements are in `data`, or follow the JSON."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    parameters: Mapping[str, Any]
    data: list[Any] | None = None
    """Nested lists, as in the JSON."""
    size: int | None = None
    """Bytes that follow the JSON."""
    plain: bool = False
    """`data` holds no truth values, NaN or infinities."""

    @property
    def length(self) -> int:
        """Returns the number of its elements."""
        return math.prod(self.shape)

    @property
    def place(self) -> str:
        """Returns words for messages."""
        return f"input {self.name!r}"

    def text_parameter(self, name: str) -> str | None:
        """Returns a parameter that is text, if it has it."""
        value = self.parameters.get(name)
        return value if isinstance(value, str) else None


class RequestedOutput(NamedTuple):
    """An output that a request names."""

    name: str
    binary: bool | None = None
    """Its bytes are to follow the JSON; None leaves that to the request."""


class InferRequest(NamedTuple):
    """A request for inference."""

    id: str | None = None
    parameters: Mapping[str, Any] = MappingProxyType({})
    inputs: Sequence[Input] = ()
    outputs: Sequence[RequestedOutput] = ()
    """Empty for all outputs."""

    @property
    def binary(self) -> bool:
        """Tells whether outputs are sent as bytes unless they are named otherwise."""
        return self.parameters.get("binary_data_output") is True

    @property
    def json_only(self) -> bool:
        """Tells whether all outputs are sent in JSON."""
        if not self.outputs:
            return not self.binary
        return not any(
            self.binary if one.binary is None else one.binary for one in self.outputs
        )


def parse(text: bytes | bytearray | memoryview, *, whole: bool = False) -> InferRequest:
    """Reads the JSON of a request. Raises BadBody.

    `whole` says that the body has nothing else: no header gave the length of the JSON.
    """
    text = bytes(text) if isinstance(text, memoryview) else text
    try:
        if len(text) > MIN_LONG_BYTES:
            value = decode_long_json(text)
        else:
            value = orjson.loads(text)
    except ValueError:
        return read(_decode_slowly(bytes(text), whole=whole))
    if _has_rounded_parameters(value):
        value = _decode_slowly(bytes(text), whole=whole)
    return read(value, plain=not _may_hold_bools(text))


def _may_hold_bools(text: bytes | bytearray) -> bool:
    """Tells whether JSON may hold `true` or `false`, which a list of numbers must not.

    A search for one letter is many times as fast as for a word, and long lists of
    numbers have neither.
    """
    for letter, before, word in ((b"r", 1, b"true"), (b"l", 2, b"false")):
        at = -1
        for _ in range(MAX_LETTERS):
            at = text.find(letter, at + 1)
            if at < 0:
                break
            if text.startswith(word, max(0, at - before)):
                return True
        else:
            return True
    return False


def _has_rounded_parameters(value: Any) -> bool:
    """Tells whether a parameter may be an integer that the quick decoder rounded."""
    parameters = value.get("parameters") if isinstance(value, dict) else None
    return isinstance(parameters, dict) and any(
        isinstance(one, float) and abs(one) >= MAX_EXACT_INTEGER
        for one in parameters.values()
    )


def _decode_slowly(text: bytes, *, whole: bool) -> Any:
    """Decodes JSON that the quick decoder refuses, or says what is wrong with it."""
    if whole and (excess := _bytes_after_json(text)):
        raise BadBody(
            f"The body has {excess} bytes after its JSON; {HEADER} is missing."
        )
    try:
        return json.loads(text.decode("utf-8", "surrogatepass"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise BadBody(f"The body is not JSON: {where}.") from error
    except UnicodeError as error:
        raise BadBody(f"The JSON of the body is not UTF-8: {error}.") from error
    except RecursionError as error:
        raise BadBody("The JSON of the body is nested too deeply.") from error
    except ValueError as error:
        raise BadBody("A number in the JSON has too many digits.") from error


def _bytes_after_json(text: bytes) -> int:
    """Returns how many bytes follow a complete JSON object; 0 if it is incomplete."""
    start = len(text) - len(text.lstrip())
    try:
        _, end = json.JSONDecoder().raw_decode(text.decode("latin-1"), start)
    except (ValueError, RecursionError):
        return 0
    return len(text) - end if text[end:].strip() else 0


def read(value: Any, *, plain: bool = False) -> InferRequest:
    """Reads a decoded request. Raises BadBody.

    `plain` says that it holds no truth values, NaN or infinities.
    """
    if not isinstance(value, dict):
        raise BadBody("The JSON of the body must be an object.")
    request_id = value.get("id")
    if not isinstance(request_id, str | None):
        raise BadBody("'id' must be a string.")
    if "inputs" not in value:
        raise BadBody("'inputs' is missing.")
    inputs = [_read_input(one, plain) for one in _objects(value, "inputs")]
    outputs = [_read_output(one) for one in _objects(value, "outputs")]
    if len(inputs) > MAX_INPUTS:
        raise BadBody(f"There are {len(inputs)} inputs; {MAX_INPUTS} is the limit.")
    _refuse_repeated("input", [one.name for one in inputs])
    _refuse_repeated("output", [one.name for one in outputs])
    return InferRequest(request_id, _parameters(value, "the body"), inputs, outputs)


def _objects(value: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = value.get(key)
    if items is None and key == "outputs":
        return []
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise BadBody(f"{key!r} must be a list of objects.")
    return items


def _refuse_repeated(word: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        name = next(name for name in names if names.count(name) > 1)
        raise BadBody(f"The {word} {name!r} is there twice.")


def _parameters(value: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    parameters = value.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadBody(f"The parameters of {place} must be an object.")
    return parameters


def _name(value: Mapping[str, Any], word: str) -> str:
    name = value.get("name")
    if not isinstance(name, str):
        raise BadBody(f"Each {word} must have a 'name', which is a string.")
    return name


def _read_output(value: Mapping[str, Any]) -> RequestedOutput:
    name = _name(value, "output")
    binary = _parameters(value, f"output {name!r}").get("binary_data")
    return RequestedOutput(name, binary if isinstance(binary, bool) else None)


def _read_input(value: Mapping[str, Any], plain: bool) -> Input:
    name = _name(value, "input")
    place = f"input {name!r}"
    datatype = value.get("datatype")
    if not (isinstance(datatype, str) and datatype in DATATYPES):
        shown = repr(datatype)[:60]
        known = ", ".join(DATATYPES)
        raise BadBody(f"The datatype of {place} is {shown}; it must be one of {known}.")
    parameters = _parameters(value, place)
    size = parameters.get("binary_data_size")
    data = value.get("data")
    if (data is None) == (size is None):
        raise BadBody(
            f"{place} must have either 'data' or the parameter 'binary_data_size'."
        )
    if size is not None and (type(size) is not int or size < 0):
        raise BadBody(f"The binary_data_size of {place} must be a number of bytes.")
    found = Input(
        name,
        DATATYPES[datatype],
        _read_shape(value.get("shape"), place),
        parameters,
        None if data is None else _read_data(data, datatype, place),
        size,
        plain,
    )
    _check_size(found)
    return found


def _read_data(data: Any, datatype: str, place: str) -> list[Any]:
    if datatype == BF16.name:
        raise BadBody(f"{place} is BF16, which JSON does not hold: send it as bytes.")
    if isinstance(data, list):
        return data
    if isinstance(data, str) and datatype == "BYTES":
        return [data]  # MLServer takes one text too
    raise BadBody(f"The data of {place} must be a list.")


def _read_shape(shape: Any, place: str) -> tuple[int, ...]:
    if not isinstance(shape, list) or not all(
        type(length) is int and length >= 0 for length in shape
    ):
        raise BadBody(f"The shape of {place} must be a list of numbers of elements.")
    if len(shape) > MAX_LEVELS:
        raise BadBody(f"The shape of {place} has more than {MAX_LEVELS} dimensions.")
    limit = MAX_EMPTY_LISTS if 0 in shape else MAX_ELEMENTS
    if math.prod(length or 1 for length in shape) > limit:
        raise BadBody(f"The shape of {place} is over the limit of {limit}.")
    return tuple(shape)


def _check_size(given: Input) -> None:
    """Refuses a number of bytes that does not fit shape and datatype."""
    if given.size is None or not given.datatype.size:
        return
    expected = given.length * given.datatype.size
    if given.size != expected:
        raise BadBody(
            f"{given.place} has {given.size} bytes; its shape and datatype make "
            f"{expected}."
        )
