"""The writer of /swagger.json: Swagger 2.0, whose form clients rely on."""

from collections.abc import Mapping
from typing import Any

from deepaas.api.openapi.operations import (
    ANY,
    BYTES,
    Description,
    Operation,
    Response,
)
from deepaas.documents.arguments20 import ParametersWriter, clean_definition
from deepaas.documents.converter import Converter
from deepaas.documents.fragments import Fragments
from deepaas.documents.shapes import Answer, Shape
from deepaas.media_types import JSON

TOKEN = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "The word `Bearer`, a space, and the token.",
}
"""Swagger 2.0 has no word for bearer tokens."""


def write_swagger(
    description: Description, base_path: str, fragments: Mapping[str, bytes]
) -> dict[str, Any]:
    """Write the document; its paths begin with --base-path.

    `fragments` are those of each model, as `write_fragments` wrote them.
    """
    return _Document(base_path, fragments).write(description)


class _Document:
    """A Swagger 2.0 document in the making."""

    def __init__(self, base_path: str, fragments: Mapping[str, bytes]) -> None:
        self._base_path = base_path
        self._converter = Converter(version=2)
        self._writer = ParametersWriter(self._converter)
        self._fragments = {
            model: Fragments(self._converter, written)
            for model, written in fragments.items()
        }

    def write(self, description: Description) -> dict[str, Any]:
        for answer in description.answers:
            self._shape(answer)
        for model, kind in description.calls:
            self._fragments[model].part(kind.value)
        for operation in description.operations:
            if not operation.in_swagger:
                continue
            self._converter.spec.path(
                path=self._base_path + operation.path,
                operations={operation.method: self._operation(operation)},
            )
        document: dict[str, Any] = self._converter.spec.to_dict()
        for name, definition in document.get("definitions", {}).items():
            if name not in self._converter.adopted:
                clean_definition(definition)
        if description.needs_token:
            document["securityDefinitions"] = {"token": TOKEN}
            document["security"] = [{"token": []}]
        return document

    def _operation(self, operation: Operation) -> dict[str, Any]:
        responses = {
            status: self._response(response)
            for status, response in operation.responses.items()
        }
        parameters = [_path_parameter(name) for name in operation.path_arguments]
        if operation.call is not None:
            model, kind = operation.call
            parameters += self._fragments[model].part(kind.value)["parameters"]
        elif operation.arguments is not None:
            parameters += self._writer.parameters(operation.arguments)
        written: dict[str, Any] = {"tags": [operation.tag]}
        written["summary"] = operation.summary
        if operation.takes_body:
            written["operationId"] = operation.operation_id
            written["consumes"] = _consumes(parameters)
        written["produces"] = _produces(operation.responses["200"])
        if parameters or operation.takes_body:
            written["parameters"] = parameters
        written["responses"] = responses
        if operation.description:
            written["description"] = operation.description
        return written

    def _response(self, response: Response) -> dict[str, Any]:
        shape = response.shape
        if response.negotiated and JSON not in response.media_types:
            shape = BYTES
        schema = None if shape is None else self._shape(shape)
        described = {"description": response.description}
        return {**described, **({"schema": schema} if schema else {})}

    def _shape(self, shape: Shape) -> Any:
        if isinstance(shape, Answer):
            return self._fragments[shape.model].part("answer")
        return self._converter.shape(shape)


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "type": "string"}


def _produces(response: Response) -> list[str]:
    if not response.negotiated:
        return [*response.media_types]
    return [ANY] if response.open else [*response.media_types, ANY]


def _consumes(parameters: list[dict[str, Any]]) -> list[str]:
    places = {parameter["in"] for parameter in parameters}
    if "body" in places:
        return [JSON]
    return ["multipart/form-data", "application/x-www-form-urlencoded"]
