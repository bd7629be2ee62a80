"""The operations of the Open Inference Protocol, which only /openapi.json has."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from deepaas.api.openapi.operations import Description, Operation, Response
from deepaas.config import Settings
from deepaas.media_types import BINARY, JSON
from deepaas.model.description import ModelDescription
from deepaas.tensors.datatypes import DATATYPES
from deepaas.tensors.request import HEADER

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
PARAMETERS: Schema = {"type": "object"}
SHAPE: Schema = {"type": "array", "items": {"type": "integer"}}
DATATYPE: Schema = {"type": "string", "enum": list(DATATYPES)}
DATA: Schema = {"type": "array", "items": {}, "description": "Nested or flat"}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


_TENSOR: dict[str, Schema] = {
    "name": TEXT,
    "shape": SHAPE,
    "datatype": DATATYPE,
    "parameters": PARAMETERS,
}
_REQUIRED = ["name", "shape", "datatype"]

REQUEST = _object(
    ["inputs"],
    id=TEXT,
    parameters=PARAMETERS,
    inputs=_list(_object(_REQUIRED, **_TENSOR, data=DATA)),
    outputs=_list(_object(["name"], name=TEXT, parameters=PARAMETERS)),
)
ANSWER = _object(
    ["model_name", "outputs"],
    model_name=TEXT,
    model_version=TEXT,
    id=TEXT,
    outputs=_list(_object(_REQUIRED, **_TENSOR, data=DATA)),
)
METADATA = _object(
    ["name", "platform", "inputs", "outputs"],
    name=TEXT,
    versions=_list(TEXT),
    platform=TEXT,
    inputs=_list(_object(_REQUIRED, **_TENSOR)),
    outputs=_list(_object(_REQUIRED, **_TENSOR)),
)
READY = _object(["name", "ready"], name=TEXT, ready={"type": "boolean"})
INDEX = _list(
    _object(["name", "state"], name=TEXT, version=TEXT, state=TEXT, reason=TEXT)
)
FAILURE = Response("An error", _object(["error"], error=TEXT))

HEADER_HELP = (
    f"With the header `{HEADER}`, the body is JSON of that many bytes, followed by the "
    "bytes of tensors."
)


def add_inference(
    description: Description, models: Sequence[ModelDescription], settings: Settings
) -> Description:
    """Returns a description with the operations of the protocol for these models."""
    added = [describe_repository()]
    for model in models:
        path = f"/v2/models/{quote(model.name, safe='')}/"
        infers = settings.predict_endpoint and model.has_predict
        added += [
            operation
            for operation in describe_inference(model.name, path)
            if infers or operation.method == "get"
        ]
    return replace(description, operations=(*description.operations, *added))


def describe_inference(name: str, path: str) -> Iterator[Operation]:
    """Describes the operations of a model; `path` is that of the model."""
    version = f"{path}versions/{{version}}/"
    for place, suffix in ((path, ""), (version, "_version")):
        arguments = ("version",) if suffix else ()
        yield Operation(
            method="post",
            path=f"{place}infer/",
            tag="inference",
            operation_id=f"infer{suffix}-{name}",
            summary=f"Make predictions with {name} by the Open Inference Protocol",
            description=HEADER_HELP,
            path_arguments=arguments,
            body={JSON: REQUEST, BINARY: {}},
            responses={
                "200": Response("OK", ANSWER, media_types=(JSON, BINARY)),
                "400": FAILURE,
                "default": FAILURE,
            },
            in_swagger=False,
        )
    yield _get(version, f"version-{name}", f"Describe a version of {name}", METADATA)
    yield _get(
        f"{version}ready/",
        f"version_ready-{name}",
        f"Tell whether a version of {name} is ready",
        READY,
        public=True,
    )


def describe_repository() -> Operation:
    """Describes the list of models and their states."""
    return Operation(
        method="post",
        path="/v2/repository/index/",
        tag="inference",
        operation_id="repository_index",
        summary="List the models and their states",
        responses={"200": Response("OK", INDEX), "default": FAILURE},
        in_swagger=False,
    )


def _get(
    path: str, operation_id: str, summary: str, shape: Schema, *, public: bool = False
) -> Operation:
    return Operation(
        method="get",
        path=path,
        tag="inference",
        operation_id=operation_id,
        summary=summary,
        path_arguments=("version",),
        responses={"200": Response("OK", shape), "default": FAILURE},
        public=public,
        in_swagger=False,
    )
