"""The writer of /openapi.json, in OpenAPI 3.1."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from deepaas.api.openapi.operations import (
    ANY,
    BYTES,
    EVENT_STREAM,
    FAILURES,
    Description,
    Operation,
    Response,
)
from deepaas.documents.arguments31 import ArgumentsWriter
from deepaas.documents.converter import Converter
from deepaas.documents.fragments import Fragments
from deepaas.documents.json_schema import Schema, modernise, write_definition
from deepaas.documents.shapes import DESCRIPTION, TITLE, Answer, Shape
from deepaas.media_types import JSON, NDJSON

VERSION = "3.1.0"

BEARER = {"type": "http", "scheme": "bearer"}

LINES: Schema = {
    "type": "string",
    "description": "A line of JSON for each item, where the model yields them.",
}

EVENTS: Schema = {
    "type": "string",
    "description": "An event for each item, where the model yields them.",
}


def write_openapi31(
    description: Description,
    base_path: str,
    fragments: Mapping[str, bytes],
    max_body_bytes: int,
) -> dict[str, Any]:
    """Write the document; its paths begin with --base-path, as in /swagger.json.

    `fragments` are those of each model, as `write_fragments` wrote them.
    `max_body_bytes` is --client-max-size; 0 means no limit, and then none is named.
    """
    document = _Document(base_path, fragments).write(description)
    if max_body_bytes:
        document["info"]["x-deepaas-max-body-bytes"] = max_body_bytes
    return document


class _Document:
    """An OpenAPI 3.1 document in the making."""

    def __init__(self, base_path: str, fragments: Mapping[str, bytes]) -> None:
        self._base_path = base_path
        self._converter = Converter(version=3)
        self._arguments = ArgumentsWriter(self._converter)
        self._fragments = {
            model: Fragments(self._converter, written)
            for model, written in fragments.items()
        }

    def write(self, description: Description) -> dict[str, Any]:
        for answer in description.answers:
            self._shape(answer)
        paths: dict[str, dict[str, Any]] = {}
        for operation in description.operations:
            path = self._base_path + operation.path
            paths.setdefault(path, {})[operation.method] = self._operation(operation)
        components: dict[str, Any] = {
            "schemas": {
                name: schema
                if name in self._converter.adopted
                else write_definition(schema)
                for name, schema in self._converter.definitions().items()
            }
        }
        document: dict[str, Any] = {
            "openapi": VERSION,
            "info": {
                "title": TITLE,
                "version": version("deepaas"),
                "description": DESCRIPTION,
            },
            "paths": paths,
            "components": components,
        }
        if description.needs_token:
            components["securitySchemes"] = {"bearer": BEARER}
            document["security"] = [{"bearer": []}]
        return document

    def _operation(self, operation: Operation) -> dict[str, Any]:
        additions = operation.additions
        parameters = [
            *(
                _given(name, "path", {"type": "string"})
                for name in operation.path_arguments
            ),
            *self._parameters(operation),
            *(_given(n, "query", schema) for n, schema in additions.query.items()),
        ]
        taken = {parameter["name"].lower() for parameter in parameters}
        for name, schema in additions.headers.items():
            if name.lower() not in taken:
                parameters.append(_given(name, "header", schema))
        body = self._body(operation)
        return {
            "tags": [operation.tag],
            "summary": operation.summary,
            **({"description": operation.description} if operation.description else {}),
            "operationId": operation.operation_id,
            **({"parameters": parameters} if parameters else {}),
            **({"requestBody": body} if body else {}),
            "responses": self._responses(operation),
            **({"security": []} if operation.public else {}),
        }

    def _parameters(self, operation: Operation) -> list[dict[str, Any]]:
        if operation.call is not None:
            found: list[dict[str, Any]] = self._call(operation)["parameters"]
            return found
        if operation.arguments is None:
            return []
        return self._arguments.parameters(operation.arguments, takes_body=False)

    def _body(self, operation: Operation) -> Any:
        if operation.body:
            content = {kind: {"schema": one} for kind, one in operation.body.items()}
            return {"required": True, "content": content}
        return {} if operation.call is None else self._call(operation)["body"]

    def _call(self, operation: Operation) -> Any:
        """Return what is written of the arguments of a model's method."""
        assert operation.call is not None
        model, kind = operation.call
        return self._fragments[model].part(kind.value)

    def _shape(self, shape: Shape) -> Any:
        if isinstance(shape, Answer):
            return self._fragments[shape.model].part("answer")
        return self._converter.shape(shape)

    # -- answers

    def _responses(self, operation: Operation) -> dict[str, Any]:
        responses = {
            **operation.responses,
            **operation.additions.responses,
        }
        responses.setdefault("default", FAILURES["default"])
        return {status: self._response(one) for status, one in responses.items()}

    def _response(self, response: Response) -> dict[str, Any]:
        content = {
            media_type: self._media_type(media_type, response)
            for media_type in response.media_types
        }
        if response.streams and JSON in content:
            content[NDJSON] = {"schema": LINES}
        if response.streams and EVENT_STREAM in content:
            content[EVENT_STREAM] = {"schema": EVENTS}
        if response.open and response.negotiated:
            content[EVENT_STREAM] = {"schema": EVENTS}
        if response.open:
            content[ANY] = {"schema": dict(BYTES)}
        headers = {
            name: {"description": text, "schema": {"type": "string"}}
            for name, text in response.headers.items()
        }
        return {
            "description": response.description,
            **({"headers": headers} if headers else {}),
            **({"content": content} if content else {}),
        }

    def _media_type(self, media_type: str, response: Response) -> dict[str, Any]:
        if media_type == JSON:
            if response.shape is None:
                return {}
            return {"schema": modernise(self._shape(response.shape))}
        text = media_type.startswith("text/")
        return {"schema": {"type": "string"} if text else dict(BYTES)}


def _given(name: str, place: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write a parameter of our own."""
    words = dict(schema)
    description = words.pop("description", None)
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        **({} if description is None else {"description": description}),
        "schema": words,
    }
