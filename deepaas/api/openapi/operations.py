"""What the API can do: its operations, in no version of OpenAPI. Both writers read it.

A shape says what a value looks like: a marshmallow Schema, a `Named` or `ListOf` one, a
JSON Schema, or None for one that is not described.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

import marshmallow

from deepaas.api import schemas
from deepaas.arguments import Arguments
from deepaas.config import Settings
from deepaas.model.adapter import ModelAdapter
from deepaas.jobs.records import Kind

JSON = "application/json"
NDJSON = "application/x-ndjson"
EVENT_STREAM = "text/event-stream"
ANY = "*/*"

TITLE = "deepaas"
DESCRIPTION = "Machine learning models behind a REST API."

BYTES: Mapping[str, Any] = {"type": "string", "format": "binary"}
"""An answer that is a file. Swagger's own word, `file`, is not known to validators."""

MESSAGES: Mapping[str, Any] = {"type": "object"}
"""Messages by the names of arguments."""

RAW_PREDICTION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "status": {"type": "string"},
        "predictions": {"description": "Whatever the model returns"},
    },
    "required": ["status", "predictions"],
}
"""The answer of a model without schema, with --raw-predictions."""


@dataclass(frozen=True)
class Named:
    """A schema with a name of ours; `owner` tells it from others of that name."""

    schema: marshmallow.Schema
    name: str
    owner: str


@dataclass(frozen=True)
class ListOf:
    """An array of values of one schema."""

    item: type[marshmallow.Schema]


Shape: TypeAlias = (
    "type[marshmallow.Schema] | marshmallow.Schema | Named | ListOf"
    " | Mapping[str, Any] | None"
)


@dataclass(frozen=True)
class Response:
    """What an operation answers, for one status."""

    description: str
    shape: Shape = None
    """That of JSON; other media types are bytes."""
    media_types: Sequence[str] = (JSON,)
    """Empty for an answer without a body."""
    negotiated: bool = False
    """The caller chooses the media type."""
    open: bool = False
    """Other media types are possible."""
    streams: bool = False
    """The model may yield: lines of JSON in place of JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Descriptions of headers, by name."""


@dataclass(frozen=True)
class Additions:
    """What /swagger.json has never said of an operation: it stays as it is."""

    headers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Headers of the request, as JSON Schemas by name."""
    query: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The same of its query."""
    responses: Mapping[str, Response] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """A method of a path. Paths are without --base-path, and quoted."""

    method: str
    path: str
    tag: str
    operation_id: str
    summary: str
    responses: Mapping[str, Response]
    """By status, or `default`."""
    description: str = ""
    path_arguments: Sequence[str] = ()
    arguments: Arguments | None = None
    takes_body: bool = False
    public: bool = False
    """It needs no token."""
    call: tuple[str, Kind] | None = None
    """The model that it calls, and what for."""
    additions: Additions = field(default_factory=Additions)


PREFER: Mapping[str, Any] = {
    "type": "string",
    "enum": ["respond-async"],
    "description": "Begin a job, and answer with it at once (RFC 7240).",
}

FOLLOW: Mapping[str, Any] = {
    "type": "string",
    "enum": ["0", "1"],
    "default": "0",
    "description": "1 to go on reading until the job has ended.",
}

FAILURES: Mapping[str, Response] = {
    "422": Response("Arguments that do not fit: messages by name", MESSAGES),
    "default": Response("An error", schemas.Failure),
}


@dataclass(frozen=True)
class Description:
    """All that a document is made of."""

    operations: Sequence[Operation]
    answers: Sequence[Shape]
    """The models' answers: they have the first choice of the definitions' names."""
    arguments: Sequence[Arguments]
    """The models' arguments, which have the second choice."""
    needs_token: bool


def describe(models: Sequence[ModelAdapter], settings: Settings) -> Description:
    """Describe the API of these models, without what is turned off."""
    raw = settings.raw_predictions
    answers = {
        model.name: _answer(model, raw=raw)
        for model in sorted(models, key=lambda model: model.response is None)
    }
    operations: list[Operation] = []
    for model in models:
        path = f"/v2/models/{quote(model.name, safe='')}/"
        operations.append(_describe_model(model, path))
        if settings.predict_endpoint and model.has_predict:
            operations += _predictions(model, f"{path}predict/", answers[model.name])
        if settings.train_endpoint and model.has_train:
            operations += _trainings(model, f"{path}train/")
    return Description(
        operations=(*operations, *_server()),
        answers=tuple(answers.values()),
        arguments=tuple(
            arguments
            for model in models
            for arguments in (model.predict_args, model.train_args)
        ),
        needs_token=bool(settings.auth_token_file),
    )


def _answer(model: ModelAdapter, *, raw: bool) -> Shape:
    """Return the shape of what a model's predict answers in JSON."""
    response = model.response
    if response is None:
        return RAW_PREDICTION if raw else schemas.Prediction
    if isinstance(response, Mapping):
        schema = marshmallow.Schema.from_dict(dict(response))()
        return Named(schema, "ModelPredictionResponse", model.name)
    return response


def _describe_model(model: ModelAdapter, path: str) -> Operation:
    return _get(
        path,
        "models",
        f"describe-{model.name}",
        f"Describe {model.name}",
        schemas.ModelMeta,
    )


def _server() -> Iterator[Operation]:
    summary = "List the versions of the API"
    yield _get("/", "versions", "versions", summary, schemas.Versions)
    summary = "Describe this version"
    yield _get("/v2/", "versions", "version", summary, schemas.Version)
    summary = "List the models"
    yield _get("/v2/models/", "models", "models", summary, schemas.ModelList)
    for state in ("live", "ready"):
        summary = f"Tell whether the server is {state}"
        path = f"/v2/health/{state}"
        yield _get(path, "health", state, summary, schemas.Health, public=True)


def _get(
    path: str,
    tag: str,
    operation_id: str,
    summary: str,
    shape: Shape,
    *,
    public: bool = False,
) -> Operation:
    return Operation(
        method="get",
        path=path,
        tag=tag,
        operation_id=operation_id,
        summary=summary,
        responses={"200": Response("OK", shape)},
        public=public,
    )


# -- calls and jobs


def _predictions(model: ModelAdapter, path: str, answer: Shape) -> Iterator[Operation]:
    negotiation = model.predict_args.negotiation
    choices = negotiation.choices if negotiation else []
    location = {"Location": "The job, relative to this address"}
    yield Operation(
        method="post",
        path=path,
        tag="models",
        operation_id=f"predict-{model.name}",
        summary=f"Make a prediction with {model.name}",
        description="With the header `Prefer: respond-async`, the answer is a job "
        "at once.",
        arguments=model.predict_args,
        takes_body=True,
        additions=Additions(headers={"Prefer": PREFER}),
        responses={
            "200": Response(
                "The prediction",
                answer,
                media_types=choices or (JSON,),
                negotiated=negotiation is not None,
                open=not choices and (negotiation is not None or not model.response),
                streams=True,
            ),
            "202": Response("The job that makes it", schemas.Job, headers=location),
            **FAILURES,
        },
        call=(model.name, Kind.PREDICT),
    )
    yield from _jobs(model, path, Kind.PREDICT)


def _trainings(model: ModelAdapter, path: str) -> Iterator[Operation]:
    yield Operation(
        method="post",
        path=path,
        tag="trainings",
        operation_id=f"train-{model.name}",
        summary=f"Train {model.name}",
        arguments=model.train_args,
        takes_body=True,
        responses={
            "200": Response("The training, which has begun", schemas.Job),
            **FAILURES,
        },
        call=(model.name, Kind.TRAIN),
    )
    yield Operation(
        method="get",
        path=path,
        tag="trainings",
        operation_id=f"train_list-{model.name}",
        summary=f"List the trainings of {model.name}",
        arguments=Arguments(schemas.JobQuery),
        responses={"200": Response("OK", ListOf(schemas.Job))},
    )
    yield from _jobs(model, path, Kind.TRAIN)


def _jobs(model: ModelAdapter, path: str, kind: Kind) -> Iterator[Operation]:
    """Describe what both kinds of jobs have; `path` is that of the method."""
    noun = "training" if kind is Kind.TRAIN else "prediction"
    found = {
        "": (
            "job",
            f"Describe a {noun} of {model.name}",
            Response("OK", schemas.Job),
            Additions(),
        ),
        "log/": (
            "log",
            f"Read the log of a {noun}",
            Response("OK", media_types=("text/plain",)),
            Additions(query={"follow": FOLLOW}),
        ),
        "events/": (
            "events",
            f"Follow a {noun}",
            Response("OK", media_types=(EVENT_STREAM,)),
            Additions(),
        ),
        "metrics/": (
            "metrics",
            f"Read the metrics of a {noun}",
            Response("OK"),
            Additions(),
        ),
    }
    if kind is Kind.PREDICT:
        found["result/"] = (
            "result",
            "Read the result, as a call would have given it",
            Response("OK", BYTES, media_types=(ANY,)),
            Additions(responses={"202": Response("It is being made", schemas.Job)}),
        )
    for place, (name, summary, response, additions) in found.items():
        yield Operation(
            method="get",
            path=f"{path}{{uuid}}/{place}",
            tag=f"{noun}s",
            operation_id=f"{kind.value}_{name}-{model.name}",
            summary=summary,
            path_arguments=("uuid",),
            responses={"200": response},
            additions=additions,
        )
    yield Operation(
        method="delete",
        path=f"{path}{{uuid}}/",
        tag=f"{noun}s",
        operation_id=f"{kind.value}_end-{model.name}",
        summary=f"Cancel a {noun} of {model.name}, or remove one that has ended",
        path_arguments=("uuid",),
        responses={
            "200": Response("OK", schemas.Job),
            "204": Response("It is removed", media_types=()),
        },
    )
