"""The operations of the API, in no version of OpenAPI: both writers read them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import quote

from deepaas.api import schemas
from deepaas.api.requests import request_keys
from deepaas.arguments import Arguments
from deepaas.config import Settings
from deepaas.documents.shapes import Answer, ListOf, Shape
from deepaas.jobs.records import Kind
from deepaas.media_types import JSON
from deepaas.model.description import ModelDescription

EVENT_STREAM = "text/event-stream"
ANY = "*/*"

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
class Response:
    """The answer of an operation, for one status."""

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
    """Parts of an operation that only /openapi.json has; /swagger.json stays as is."""

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
    """Those of an operation that calls no model."""
    takes_body: bool = False
    public: bool = False
    """It needs no token."""
    call: tuple[str, Kind] | None = None
    """The model that it calls, and what for: this has the arguments of the model."""
    additions: Additions = field(default_factory=Additions)
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """A body that holds no arguments: JSON Schemas by media type."""
    in_swagger: bool = True
    """/swagger.json has it too."""


CALLS = (Kind.PREDICT, Kind.TRAIN)

PREFER: Mapping[str, Any] = {
    "type": "string",
    "enum": ["respond-async"],
    "description": "Begin a job, and answer with it at once (RFC 7240).",
}

IDEMPOTENCY_KEY: Mapping[str, Any] = {
    "type": "string",
    "pattern": request_keys.PATTERN,
    "description": "For a day, the same key gives the same job, not another one.",
}

ASYNCHRONOUS = "With the header `Prefer: respond-async`, the answer is a job at once."

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
    """The whole API, as both writers read it."""

    operations: Sequence[Operation]
    answers: Sequence[Shape]
    """The models' answers: they have the first choice of the definitions' names."""
    calls: Sequence[tuple[str, Kind]]
    """The models' methods, whose arguments have the second choice."""
    needs_token: bool


def describe(models: Sequence[ModelDescription], settings: Settings) -> Description:
    """Describe the API of these models, without what is turned off."""
    raw = settings.raw_predictions
    answers = {
        model.name: _answer(model, raw=raw)
        for model in sorted(models, key=lambda model: not model.has_response)
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
        calls=tuple((model.name, kind) for model in models for kind in CALLS),
        needs_token=bool(settings.auth_token_file),
    )


def _answer(model: ModelDescription, *, raw: bool) -> Shape:
    """Return the shape of what a model's predict answers in JSON."""
    if model.has_response:
        return Answer(model.name)
    return RAW_PREDICTION if raw else schemas.Prediction


def _describe_model(model: ModelDescription, path: str) -> Operation:
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


def _predictions(
    model: ModelDescription, path: str, answer: Shape
) -> Iterator[Operation]:
    negotiation = model.predict.negotiation
    choices = negotiation.choices if negotiation else []
    location = {"Location": "The job, relative to this address"}
    prediction = Response(
        "The prediction",
        answer,
        media_types=choices or (JSON,),
        negotiated=negotiation is not None,
        open=not choices and (negotiation is not None or not model.has_response),
        streams=True,
    )
    yield Operation(
        method="post",
        path=path,
        tag="models",
        operation_id=f"predict-{model.name}",
        summary=f"Make a prediction with {model.name}",
        description="\n\n".join(
            filter(None, (model.predict.description, ASYNCHRONOUS))
        ),
        takes_body=True,
        additions=Additions(
            headers={"Prefer": PREFER, request_keys.NAME: IDEMPOTENCY_KEY}
        ),
        responses={
            "200": prediction,
            "202": Response("The job that makes it", schemas.Job, headers=location),
            **FAILURES,
        },
        call=(model.name, Kind.PREDICT),
    )
    yield from _jobs(model, path, Kind.PREDICT)
    yield _result(model, path, prediction)
    yield _end(model, path, Kind.PREDICT)


def _trainings(model: ModelDescription, path: str) -> Iterator[Operation]:
    yield Operation(
        method="post",
        path=path,
        tag="trainings",
        operation_id=f"train-{model.name}",
        summary=f"Train {model.name}",
        description=model.train.description or "",
        takes_body=True,
        additions=Additions(headers={request_keys.NAME: IDEMPOTENCY_KEY}),
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
    yield _end(model, path, Kind.TRAIN)


def _jobs(model: ModelDescription, path: str, kind: Kind) -> Iterator[Operation]:
    """Describe what one reads of a job of either kind; `path` is its method's."""
    noun = _noun(kind)
    read = partial(_of_job, model, path, kind)
    job = Response("OK", schemas.Job)
    yield read("", "job", f"Describe a {noun} of {model.name}", job)
    log = read(
        "log/",
        "log",
        f"Read the log of a {noun}",
        Response("OK", media_types=("text/plain",)),
    )
    yield replace(log, additions=Additions(query={"follow": FOLLOW}))
    yield read(
        "events/",
        "events",
        f"Follow a {noun}",
        Response("OK", media_types=(EVENT_STREAM,)),
    )
    yield read("metrics/", "metrics", f"Read the metrics of a {noun}", Response("OK"))


def _result(model: ModelDescription, path: str, prediction: Response) -> Operation:
    summary = "Read the result, as a call would have given it"
    bytes_ = Response("OK", BYTES, media_types=(ANY,))
    result = _of_job(model, path, Kind.PREDICT, "result/", "result", summary, bytes_)
    waits = Response("It is being made", schemas.Job)
    return replace(
        result, additions=Additions(responses={"200": prediction, "202": waits})
    )


def _end(model: ModelDescription, path: str, kind: Kind) -> Operation:
    summary = f"Cancel a {_noun(kind)} of {model.name}, or remove one that has ended"
    job = Response("OK", schemas.Job)
    end = replace(_of_job(model, path, kind, "", "end", summary, job), method="delete")
    removed = Response("It is removed", media_types=())
    return replace(end, responses={"200": job, "204": removed})


def _of_job(
    model: ModelDescription,
    path: str,
    kind: Kind,
    place: str,
    name: str,
    summary: str,
    response: Response,
) -> Operation:
    return Operation(
        method="get",
        path=f"{path}{{uuid}}/{place}",
        tag=f"{_noun(kind)}s",
        operation_id=f"{kind.value}_{name}-{model.name}",
        summary=summary,
        path_arguments=("uuid",),
        responses={"200": response},
    )


def _noun(kind: Kind) -> str:
    return "training" if kind is Kind.TRAIN else "prediction"
