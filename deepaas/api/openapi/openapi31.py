"""The writer of /openapi.json, in OpenAPI 3.1."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from deepaas.api.openapi.arguments31 import ArgumentsWriter, FileExamples
from deepaas.api.openapi.converter import Converter
from deepaas.api.openapi.json_schema import Schema, modernise
from deepaas.api.openapi.operations import (
    ANY,
    BYTES,
    DESCRIPTION,
    EVENT_STREAM,
    FAILURES,
    TITLE,
    Description,
    Operation,
    Response,
)
from deepaas.encoding import encode_json
from deepaas.errors import authors_errors
from deepaas.jobs.records import Kind
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
    examples: Mapping[tuple[str, Kind], FileExamples],
    max_body_bytes: int,
) -> dict[str, Any]:
    """Write the document; its paths begin with --base-path, as in /swagger.json.

    `max_body_bytes` is --client-max-size; 0 means no limit, and then none is named.
    """
    document = _Document(base_path, examples).write(description)
    if max_body_bytes:
        document["info"]["x-deepaas-max-body-bytes"] = max_body_bytes
    return document


class _Document:
    """An OpenAPI 3.1 document in the making."""

    def __init__(
        self, base_path: str, examples: Mapping[tuple[str, Kind], FileExamples]
    ) -> None:
        self._base_path = base_path
        self._examples = examples
        self._converter = Converter(version=3)
        self._arguments = ArgumentsWriter(self._converter)

    def write(self, description: Description) -> dict[str, Any]:
        for answer in description.answers:
            self._converter.shape(answer)
        paths: dict[str, dict[str, Any]] = {}
        for operation in description.operations:
            path = self._base_path + operation.path
            paths.setdefault(path, {})[operation.method] = self._operation(operation)
        components: dict[str, Any] = {
            "schemas": {
                name: _definition(schema)
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
        if operation.arguments is None:
            return []
        return self._arguments.parameters(
            operation.arguments, takes_body=operation.takes_body
        )

    def _body(self, operation: Operation) -> dict[str, Any]:
        if operation.body:
            content = {kind: {"schema": one} for kind, one in operation.body.items()}
            return {"required": True, "content": content}
        if operation.arguments is None or not operation.takes_body:
            return {}
        examples = {} if operation.call is None else self._examples[operation.call]
        return self._arguments.body(operation.arguments, examples)

    # -- answers

    def _responses(self, operation: Operation) -> dict[str, Any]:
        responses = {
            "default": FAILURES["default"],
            **operation.responses,
            **operation.additions.responses,
        }
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
            return {"schema": modernise(self._converter.shape(response.shape))}
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


def _definition(schema: Schema) -> Schema:
    """Write a definition; a property that has no JSON form may be anything."""
    properties: Schema = {}
    for name, value in schema.get("properties", {}).items():
        try:
            encode_json(value)
        except authors_errors():  # the writer of /swagger.json warns of it
            properties[name] = {}
        else:
            properties[name] = value
    return modernise({**schema, "properties": properties})
