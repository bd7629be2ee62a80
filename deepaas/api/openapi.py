"""The OpenAPI document; the only importer of aiohttp_apispec.

That import takes as long as all else of a start, and so waits for the first request.
"""

import asyncio
import decimal
import itertools
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import marshmallow
from aiohttp import web

from deepaas.api import schemas
from deepaas.api.context import prefix
from deepaas.api.routes import Access, Route, both
from deepaas.arguments import Argument, Arguments
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.errors import authors_errors
from deepaas.jobs.records import Kind
from deepaas.model.adapter import ModelAdapter

logger = logging.getLogger(__name__)

JSON = "application/json"

PLACES = {
    "query": "query",
    "querystring": "query",
    "form": "formData",
    "files": "formData",
    "json": "body",
    "headers": "header",
}
"""Where Swagger says that an argument is, by the author's location."""

PARAMETER_KEYS = {
    *("description", "type", "format", "items", "collectionFormat", "default", "enum"),
    *("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "multipleOf"),
    *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems"),
}
"""What Swagger 2.0 allows in a parameter that is not the body."""

NO_WORD = re.compile(r"[^\w.-]")

SIMPLE_TYPES = ("string", "number", "integer", "boolean", "array")

BYTES = {"type": "string", "format": "binary"}
"""An answer that is a file. Swagger's own word, `file`, is not known to validators."""

UUID = {"name": "uuid", "in": "path", "required": True, "type": "string"}

TOKEN = {
    "type": "apiKey",
    "name": "Authorization",
    "in": "header",
    "description": "The word `Bearer`, a space, and the token.",
}
"""Swagger 2.0 has no word for bearer tokens."""

_Parameters = list[dict[str, Any]]


class Documentation:
    """The document, made once, when it is asked for."""

    def __init__(self, models: list[ModelAdapter], settings: Settings) -> None:
        self._base = settings.base_path
        self._models = models
        self._settings = settings
        self._making = asyncio.Lock()
        self._document: dict[str, Any] | None = None
        self._body = b""

    def routes(self) -> list[Route]:
        path = f"{self._base}/swagger.json"
        return both(web.get, path, self.document, Access.PAGE)

    async def document(self, request: web.Request) -> web.Response:
        async with self._making:
            if self._document is None:
                made = await asyncio.to_thread(self._make)
                self._document, self._body = made
        body = self._body
        if base := prefix(request):
            body = encode_json({**self._document, "basePath": base})
        return web.Response(body=body, content_type=JSON)

    def _make(self) -> tuple[dict[str, Any], bytes]:
        document = _Document(self._settings).build(self._models)
        return document, encode_json(document)


class _Document:
    """A Swagger 2.0 document in the making."""

    def __init__(self, settings: Settings) -> None:
        from aiohttp_apispec.aiohttp_apispec import AiohttpApiSpec

        self._settings = settings
        self._names: set[str] = set()
        self._spec = AiohttpApiSpec(
            url=None,
            schema_name_resolver=self._name_schema,
            title="deepaas",
            version=version("deepaas"),
            info={"description": "Machine learning models behind a REST API."},
        )
        self._converter = self._spec.plugin.converter
        self._converter.add_attribute_function(_enum2properties)

    def build(self, models: list[ModelAdapter]) -> dict[str, Any]:
        # Models first: they have the first choice of the definitions' names.
        responses = {
            model.name: self._prediction(model)
            for model in sorted(models, key=lambda model: model.response is None)
        }
        parameters = {
            (model.name, kind): self._parameters(arguments)
            for model in models
            for kind, arguments in (
                (Kind.PREDICT, model.predict_args),
                (Kind.TRAIN, model.train_args),
            )
        }
        for model in models:
            place = f"/v2/models/{quote(model.name, safe='')}/"
            self._get(place, "models", f"Describe {model.name}", schemas.ModelMeta)
            if self._settings.predict_endpoint and model.has_predict:
                path = f"{place}predict/"
                taken = parameters[model.name, Kind.PREDICT]
                self._post_predict(model, path, taken, responses[model.name])
                self._jobs(model, path, Kind.PREDICT)
            if self._settings.train_endpoint and model.has_train:
                path = f"{place}train/"
                self._post_train(model, path, parameters[model.name, Kind.TRAIN])
                self._jobs(model, path, Kind.TRAIN)
        self._get("/", "versions", "List the versions of the API", schemas.Versions)
        self._get("/v2/", "versions", "Describe this version", schemas.Version)
        self._get("/v2/models/", "models", "List the models", schemas.ModelList)
        for state in ("live", "ready"):
            summary = f"Tell whether the server is {state}"
            self._get(f"/v2/health/{state}", "health", summary, schemas.Health)
        document: dict[str, Any] = self._spec.swagger_dict()
        for definition in document.get("definitions", {}).values():
            _clean_schema(definition)
            _clean_properties(definition)
        if self._settings.auth_token_file:
            document["securityDefinitions"] = {"token": TOKEN}
            document["security"] = [{"token": []}]
        return document

    # -- operations

    def _get(
        self, path: str, tag: str, summary: str, answer: type[marshmallow.Schema]
    ) -> None:
        schema = self._converter.resolve_nested_schema(answer)
        self._add(path, "get", self._operation(tag, summary, schema))

    def _post_predict(
        self, model: ModelAdapter, path: str, parameters: _Parameters, answer: Any
    ) -> None:
        negotiation = model.predict_args.negotiation
        produces = [*negotiation.choices, "*/*"] if negotiation else [JSON]
        if negotiation and negotiation.choices and JSON not in negotiation.choices:
            answer = BYTES
        summary = f"Make a prediction with {model.name}"
        job = self._converter.resolve_nested_schema(schemas.Job)
        operation = self._post(model, "predict", summary, parameters)
        operation["produces"] = produces
        operation["description"] = (
            "With the header `Prefer: respond-async`, the answer is a job at once."
        )
        operation["responses"] = {
            "200": {"description": "The prediction", "schema": answer},
            "202": {"description": "The job that makes it", "schema": job},
            **operation["responses"],
        }
        self._add(path, "post", operation)

    def _post_train(
        self, model: ModelAdapter, path: str, parameters: _Parameters
    ) -> None:
        job = self._converter.resolve_nested_schema(schemas.Job)
        operation = self._post(model, "train", f"Train {model.name}", parameters)
        started = {"description": "The training, which has begun", "schema": job}
        operation["responses"] = {"200": started, **operation["responses"]}
        self._add(path, "post", operation)
        operation = self._operation(
            "trainings",
            f"List the trainings of {model.name}",
            {"type": "array", "items": job},
            parameters=self._parameters(Arguments(schemas.JobQuery)),
        )
        self._add(path, "get", operation)

    def _post(
        self, model: ModelAdapter, method: str, summary: str, parameters: _Parameters
    ) -> dict[str, Any]:
        failure = self._converter.resolve_nested_schema(schemas.Failure)
        return {
            "tags": ["models" if method == "predict" else "trainings"],
            "summary": summary,
            "operationId": f"{method}-{model.name}",
            "consumes": _consumes(parameters),
            "produces": [JSON],
            "parameters": parameters,
            "responses": {
                "422": {
                    "description": "Arguments that do not fit: messages by name",
                    "schema": {"type": "object"},
                },
                "default": {"description": "An error", "schema": failure},
            },
        }

    def _jobs(self, model: ModelAdapter, path: str, kind: Kind) -> None:
        """Document what both kinds of jobs have; `path` is that of the method."""
        tag = "trainings" if kind is Kind.TRAIN else "predictions"
        noun = tag.removesuffix("s")
        job = self._converter.resolve_nested_schema(schemas.Job)
        one = f"{path}{{uuid}}/"
        places = {
            one: (f"Describe a {noun} of {model.name}", JSON, job),
            f"{one}log/": (f"Read the log of a {noun}", "text/plain", None),
            f"{one}events/": (f"Follow a {noun}", "text/event-stream", None),
            f"{one}metrics/": (f"Read the metrics of a {noun}", JSON, None),
        }
        if kind is Kind.PREDICT:
            summary = "Read the result, as a call would have given it"
            places[f"{one}result/"] = (summary, "*/*", BYTES)
        for place, (summary, produces, schema) in places.items():
            operation = self._operation(
                tag, summary, schema, produces=produces, parameters=[UUID]
            )
            self._add(place, "get", operation)
        summary = f"Cancel a {noun} of {model.name}, or remove one that has ended"
        operation = self._operation(tag, summary, job, parameters=[UUID])
        operation["responses"]["204"] = {"description": "It is removed"}
        self._add(one, "delete", operation)

    def _operation(
        self,
        tag: str,
        summary: str,
        schema: Any,
        *,
        produces: str = JSON,
        parameters: _Parameters | None = None,
    ) -> dict[str, Any]:
        answer = {"description": "OK", **({"schema": schema} if schema else {})}
        return {
            "tags": [tag],
            "summary": summary,
            "produces": [produces],
            **({"parameters": parameters} if parameters else {}),
            "responses": {"200": answer},
        }

    def _add(self, path: str, method: str, operation: dict[str, Any]) -> None:
        self._spec.spec.path(
            path=self._settings.base_path + path, operations={method: operation}
        )

    # -- arguments

    def _parameters(self, arguments: Arguments) -> _Parameters:
        places = {item.name: _place(item) for item in arguments.items}
        if "formData" in places.values():  # a body is a form or JSON, never both
            places = {n: "formData" if p == "body" else p for n, p in places.items()}
        body: dict[str, Any] = {"type": "object", "properties": {}}
        parameters = []
        for item in arguments.items:
            place = places[item.name]
            if place == "body":
                body["properties"][item.name] = _clean_schema(self._property(item))
                if item.field.required:
                    body.setdefault("required", []).append(item.name)
            elif place is not None:
                parameters.append(
                    {
                        "name": item.name,
                        "in": place,
                        "required": bool(item.field.required),
                        **_simple(item, self._property(item), place),
                    }
                )
        if body["properties"]:
            parameters.append({"name": "body", "in": "body", "schema": body})
        return parameters

    def _property(self, item: Argument) -> dict[str, Any]:
        try:
            prop = {
                **self._converter.field2property(item.field),
                **_exclusive(item.field),
            }
            encode_json(prop)
            return prop
        except authors_errors() as error:  # from the author's own field or default
            logger.warning("%r is documented as a string: %r", item.name, error)
            return {"type": "string"}

    # -- definitions

    def _prediction(self, model: ModelAdapter) -> dict[str, Any]:
        """Define the answer of a model's predict, and return a reference to it."""
        schema: Any = model.response
        if schema is None and self._settings.raw_predictions:
            anything = {"description": "Whatever the model returns"}
            return {
                "type": "object",
                "properties": {"status": {"type": "string"}, "predictions": anything},
                "required": ["status", "predictions"],
            }
        if isinstance(schema, Mapping):
            schema = marshmallow.Schema.from_dict(dict(schema))()
            name = self._free_name("ModelPredictionResponse", model.name)
            self._spec.spec.components.schema(name, schema=schema)
        reference: dict[str, Any] = self._converter.resolve_nested_schema(
            schema or schemas.Prediction
        )
        return reference

    def _name_schema(self, schema: Any) -> str:
        cls = schema if isinstance(schema, type) else type(schema)
        if isinstance(schema, str):
            cls = marshmallow.class_registry.get_class(schema)
        return self._free_name(cls.__name__.removesuffix("Schema") or cls.__name__)

    def _free_name(self, name: str, owner: str = "") -> str:
        """Return a definition's name that no other one has.

        The owner may have any name, but references are addresses.
        """
        if name in self._names and owner:
            name = f"{name}-{NO_WORD.sub('_', owner)}"
        numbered = (f"{name}{number}" for number in itertools.count(2))
        free = next(
            n for n in itertools.chain([name], numbered) if n not in self._names
        )
        self._names.add(free)
        return free


def _place(item: Argument) -> str | None:
    """Return where Swagger says that an argument is; None for a cookie."""
    location = item.field.metadata.get("location")
    if location is not None:
        return PLACES.get(location)
    if item.is_file:
        return "formData"
    return "body" if item.structured else "query"


def _enum2properties(
    converter: Any, field: marshmallow.fields.Field, **kwargs: Any
) -> dict[str, Any]:
    """Return the choices of an enum and their type, which apispec leaves out.

    apispec calls it, and gives it the properties that it has found as `ret`.
    """
    if not isinstance(field, marshmallow.fields.Enum):
        return {}
    choices: list[Any] = list(field.enum.__members__)  # with the aliases
    if field.by_value:
        choices = [field._serialize(member, "", None) for member in field.enum]  # type: ignore[no-untyped-call]
    kind = _type_of(choices)
    found = {"enum": choices, **({} if kind is None else {"type": kind})}
    return {key: value for key, value in found.items() if key not in kwargs["ret"]}


def _type_of(choices: Sequence[Any]) -> str | None:
    """Return the type that JSON values have in common, if it is a simple one."""
    types: dict[type, str] = {bool: "boolean", int: "integer", float: "number"}
    names = {types.get(type(choice)) for choice in choices}
    if choices and all(isinstance(choice, str) for choice in choices):
        return "string"
    if names == {"integer", "number"}:
        return "number"
    return names.pop() if len(names) == 1 else None


def _exclusive(field: marshmallow.fields.Field) -> dict[str, bool]:
    """Return what apispec leaves out: limits that are no values themselves."""
    ranges = [
        validator
        for validator in field.validators
        if isinstance(validator, marshmallow.validate.Range)
    ]
    lower = any(r.min is not None and not r.min_inclusive for r in ranges)
    upper = any(r.max is not None and not r.max_inclusive for r in ranges)
    return {
        **({"exclusiveMinimum": True} if lower else {}),
        **({"exclusiveMaximum": True} if upper else {}),
    }


def _consumes(parameters: list[dict[str, Any]]) -> list[str]:
    places = {parameter["in"] for parameter in parameters}
    if "body" in places:
        return [JSON]
    return ["multipart/form-data", "application/x-www-form-urlencoded"]


def _simple(item: Argument, prop: dict[str, Any], place: str) -> dict[str, Any]:
    """Describe an argument outside the body, within what Swagger 2.0 allows there."""
    if item.is_file:
        file = {"type": "file"}
        if item.multiple:
            # Swagger 2.0 has no list of files; its page shows this as one.
            binary = {"type": "string", "format": "binary"}
            file = {"type": "array", "items": binary, "collectionFormat": "multi"}  # type: ignore[dict-item]
        return {**file, **_described(prop)}
    prop = {key: value for key, value in prop.items() if key in PARAMETER_KEYS}
    prop.update(_described(prop))
    _clean_choices(prop)
    if prop.get("type") not in SIMPLE_TYPES:
        prop["type"] = "string"
        prop.pop("items", None)
        if not all(isinstance(choice, str) for choice in prop.get("enum", ())):
            del prop["enum"]
    if prop["type"] == "array":
        items = prop.get("items", {})
        kept = {k: v for k, v in items.items() if k in PARAMETER_KEYS - {"default"}}
        if kept.get("type") not in SIMPLE_TYPES:
            kept = {"type": "string"}
        _clean_choices(kept)
        if "enum" in prop:  # such as that of ContainsOnly, for each item
            kept.setdefault("enum", prop.pop("enum"))
        prop["items"] = kept
        multi = item.multiple and place in ("query", "formData")
        prop["collectionFormat"] = "multi" if multi else "csv"
    if item.field.load_only and prop["type"] == "string":
        prop.setdefault("format", "password")
    return _clean_values(prop)


def _described(prop: Mapping[str, Any]) -> dict[str, str]:
    text = prop.get("description")
    return {} if text is None else {"description": str(text)}


def _clean_values(prop: dict[str, Any]) -> dict[str, Any]:
    """Keep a default and limits only where they are values of the type."""
    if "default" in prop:
        default = _default(prop["default"], prop.get("type"))
        prop.pop("default")
        if default is not None:
            prop["default"] = default
    for key in ("minimum", "maximum"):
        if key in prop and not (
            prop.get("type") in ("number", "integer") and _is_finite(prop[key])
        ):
            del prop[key]
            prop.pop(f"exclusive{key.capitalize()}", None)
        elif isinstance(prop.get(key), decimal.Decimal):
            prop[key] = float(prop[key])
    return prop


def _clean_choices(prop: dict[str, Any]) -> None:
    """Keep an enum only where it is a list, each choice once, in place."""
    if "enum" not in prop:
        return
    choices = prop.pop("enum")
    if isinstance(choices, list | tuple | set | frozenset) and choices:
        prop["enum"] = list({repr(choice): choice for choice in choices}.values())


def _default(value: Any, kind: str | None) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if kind == "string" and not isinstance(value, str):
        return json.dumps(json.loads(encode_json(value)))
    if isinstance(value, decimal.Decimal):
        return float(value) if value.is_finite() else None
    return value


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float | decimal.Decimal) and math.isfinite(value)


def _clean_schema(schema: Any) -> Any:
    """Remove from a JSON schema what an author's metadata made invalid, in place."""
    if not isinstance(schema, dict):
        return schema
    _clean_values(schema)
    _clean_choices(schema)
    if not isinstance(schema.get("required", []), list):
        del schema["required"]
    if schema.get("type") == "file" or not isinstance(schema.get("type", ""), str):
        del schema["type"]
    for value in schema.get("properties", {}).values():
        _clean_schema(value)
    for key in ("items", "additionalProperties"):
        _clean_schema(schema.get(key))
    return schema


def _clean_properties(schema: dict[str, Any]) -> None:
    """Say nothing of properties whose metadata have no JSON form, in place."""
    for name, value in schema.get("properties", {}).items():
        try:
            encode_json(value)
        except authors_errors() as error:
            logger.warning("%r is documented as anything: %r", name, error)
            schema["properties"][name] = {}
