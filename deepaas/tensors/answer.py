"""The answer to a request for inference: its JSON, and the bytes of its tensors.

Source: Open Inference Protocol, REST, "Inference Response JSON Object".
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from deepaas.encoding import encode_json
from deepaas.errors import BadBody
from deepaas.tensors.datatypes import BYTES, decode
from deepaas.tensors.outputs import Output, Outputs, numbers_text
from deepaas.tensors.request import InferRequest, RequestedOutput
from deepaas.tensors.specs import BASE64, JSON, TEXT

PIECE_BYTES = 256 * 1024
"""Bytes of a tensor that are written as JSON in one step."""

IN_JSON_ONLY = (BASE64, TEXT)
"""Contents that are told only in JSON: bytes are sent as they are."""


def select(
    outputs: Outputs, request: InferRequest
) -> list[tuple[Output, RequestedOutput]]:
    """Returns the outputs that a request wants, in its order. Raises BadBody.

    One whose value is None is left out.
    """
    if not request.outputs:
        return [(one, RequestedOutput(one.name)) for one in outputs.items]
    by_name = {one.name: one for one in outputs.items}
    selected = []
    for wanted in request.outputs:
        if wanted.name in by_name:
            selected.append((by_name[wanted.name], wanted))
        elif wanted.name not in outputs.empty:
            known = ", ".join(by_name) or "none"
            raise BadBody(
                f"The model has no output {wanted.name!r}; these are its outputs: "
                f"{known}."
            )
    return selected


class Answer:
    """An answer in the making.

    `head` are the keys before the outputs. Raises BadBody for a wanted output that
    there is not.
    """

    def __init__(
        self, head: Mapping[str, Any], outputs: Outputs, request: InferRequest
    ) -> None:
        self._head = encode_json(dict(head))[:-1]
        self._outputs = select(outputs, request)
        self._binary = request.binary
        self.tails: list[bytes | memoryview] = []
        """The bytes of tensors, which follow the JSON. They are there after `json`."""

    def json(self) -> Iterator[bytes | memoryview]:
        """Yields the pieces of the JSON; each takes less than some milliseconds."""
        yield self._head + b',"outputs":['
        separator = b""
        for output, wanted in self._outputs:
            binary = self._binary if wanted.binary is None else wanted.binary
            yield separator
            if binary:
                yield self._with_size(output)
            else:
                yield from _with_data(output)
            separator = b","
        yield b"]}"

    def _with_size(self, output: Output) -> bytes:
        self.tails.append(output.data)
        parameters = dict(output.parameters)
        if parameters.get("content_type") in IN_JSON_ONLY:
            del parameters["content_type"]
        parameters["binary_data_size"] = len(output.data)
        return orjson.dumps(_describe(output, parameters))


def _describe(output: Output, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": output.name,
        "shape": output.shape,
        "datatype": output.datatype.name,
        **({"parameters": parameters} if parameters else {}),
    }


def _with_data(output: Output) -> Iterator[bytes | memoryview]:
    """Yields an output with its elements in JSON."""
    if output.datatype is BYTES:
        texts, content_type = _texts(output)
        described = _describe(
            output, {**output.parameters, "content_type": content_type}
        )
        yield orjson.dumps({**described, "data": texts})
        return
    yield orjson.dumps(_describe(output, output.parameters))[:-1] + b',"data":['
    view = memoryview(output.data)
    if output.in_json:
        yield from (view, b"]}")
        return
    for start in range(0, len(view), PIECE_BYTES):
        piece = view[start : start + PIECE_BYTES]
        numbers = numbers_text(output._replace(data=piece))
        yield b"," + numbers if start else numbers
    yield b"]}"


def _texts(output: Output) -> tuple[Sequence[str], str]:
    """Returns the elements of BYTES as texts, and their content type."""
    elements = decode(BYTES, output.data, output.place)
    given = output.parameters.get("content_type")
    if given != BASE64:
        try:
            texts = [element.decode() for element in elements]
        except UnicodeDecodeError:
            pass
        else:
            return texts, JSON if given == JSON else TEXT
    return [base64.b64encode(element).decode() for element in elements], BASE64


def empty_batch(names: Sequence[str], declared: Mapping[str, Output]) -> Outputs:
    """Returns the outputs of a batch without rows."""
    first = [declared.get(name) or Output(name, BYTES, (1,), b"") for name in names]
    return Outputs([one._replace(shape=(0, *one.shape)) for one in first])
