"""Fragments: the parts of the documents that come of a model's declarations.

They are written where the model is loaded, and cross to the server as JSON. The server
chooses the names of their definitions, which no other model may have.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import marshmallow

from deepaas.arguments import Arguments
from deepaas.documents.arguments20 import ParametersWriter, clean_definition
from deepaas.documents.arguments31 import ArgumentsWriter, FileExamples
from deepaas.documents.converter import Converter, Name
from deepaas.documents.json_schema import Schema, write_definition
from deepaas.documents.shapes import Named, Shape
from deepaas.encoding import encode_json

REFERENCES = {2: "#/definitions/", 3: "#/components/schemas/"}
"""The beginning of a reference to a definition, by the major version of OpenAPI."""


class Declared(NamedTuple):
    """The declarations of an author from which fragments are made."""

    model: str
    response: Mapping[str, Any] | type | None
    arguments: Mapping[str, Arguments]
    """By the name of their method."""
    examples: Mapping[str, FileExamples]
    """Addresses of files, by method and argument."""


def write_fragments(declared: Declared) -> bytes:
    """Write the fragments of a model for both documents.

    Raises any error of the author's code, but what concerns a single argument.
    """
    versions = {"2": _write_swagger(declared), "3": _write_openapi(declared)}
    return encode_json(versions)


def _write_swagger(declared: Declared) -> dict[str, Any]:
    cutter = _Cutter(Converter(version=2))
    writer = ParametersWriter(cutter.converter)
    found = {"answer": cutter.cut(_answer(declared, cutter.converter))}
    for method, arguments in declared.arguments.items():
        found[method] = cutter.cut({"parameters": writer.parameters(arguments)})
    return found


def _write_openapi(declared: Declared) -> dict[str, Any]:
    cutter = _Cutter(Converter(version=3))
    writer = ArgumentsWriter(cutter.converter)
    found = {"answer": cutter.cut(_answer(declared, cutter.converter))}
    for method, arguments in declared.arguments.items():
        parameters = writer.parameters(arguments, takes_body=True)
        body = writer.body(arguments, declared.examples.get(method, {}))
        found[method] = cutter.cut({"parameters": parameters, "body": body})
    return found


def _answer(declared: Declared, converter: Converter) -> Any:
    shape: Shape = declared.response
    if declared.response is None:
        return None
    if isinstance(declared.response, Mapping):
        schema = marshmallow.Schema.from_dict(dict(declared.response))()
        shape = Named(schema, "ModelPredictionResponse", declared.model)
    return converter.shape(shape)


class _Cutter:
    """Cuts what a converter makes into fragments, each with its new definitions."""

    def __init__(self, converter: Converter) -> None:
        self.converter = converter
        self._names = 0
        self._definitions: set[str] = set()

    def cut(self, content: Any) -> dict[str, Any]:
        names = self.converter.names[self._names :]
        self._names += len(names)
        definitions: dict[str, Schema] = {}
        for name, schema in self.converter.definitions().items():
            if name not in self._definitions:
                self._definitions.add(name)
                definitions[name] = self._clean(schema)
        return {
            "content": content,
            "names": [[*name] for name in names],
            "definitions": definitions,
        }

    def _clean(self, schema: Schema) -> Schema:
        if self.converter.version == 2:
            clean_definition(schema)
            return schema
        return write_definition(schema)


class Fragments:
    """The fragments of one model, as they go into a document of the server's."""

    def __init__(self, converter: Converter, written: bytes) -> None:
        self._converter = converter
        self._parts = json.loads(written)[str(converter.version)]
        self._renamed: dict[str, str] = {}
        """The names of definitions in the document, by those where they come from."""
        self._adopted: dict[str, Any] = {}

    def part(self, name: str) -> Any:
        """Return the content of a part, `answer` or a method.

        Its definitions get their names when it is first asked for.
        """
        if name not in self._adopted:
            self._adopted[name] = self._adopt(self._parts[name])
        return self._adopted[name]

    def _adopt(self, part: Mapping[str, Any]) -> Any:
        for name in (Name(*each) for each in part["names"]):
            chosen = self._converter.free_name(name.wanted, name.owner)
            self._renamed[name.chosen] = chosen
        for name, schema in part["definitions"].items():
            self._converter.adopt(self._renamed[name], self._rename(schema))
        return self._rename(part["content"])

    def _rename(self, value: Any) -> Any:
        """Return a JSON value whose references have the names of the document."""
        if isinstance(value, list):
            return [self._rename(one) for one in value]
        if not isinstance(value, dict):
            return value
        renamed = {key: self._rename(one) for key, one in value.items()}
        reference, start = value.get("$ref"), REFERENCES[self._converter.version]
        if isinstance(reference, str) and reference.startswith(start):
            name = reference.removeprefix(start)
            renamed["$ref"] = start + self._renamed.get(name, name)
        return renamed
