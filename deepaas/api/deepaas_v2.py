"""The routes of version 2: versions, models, predict, train, and jobs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import web
from marshmallow import EXCLUDE, ValidationError

from deepaas.api import schemas
from deepaas.api.context import CONTEXT, prefix
from deepaas.api.model_tensors import EXTENSIONS, ModelTensors
from deepaas.api.paths import relative
from deepaas.api.requests.request_keys import read_key
from deepaas.api.requests.values import Parsing
from deepaas.api.responses import NOSNIFF, begin_stream, json_response, send
from deepaas.api.routes import (
    MODEL,
    Access,
    Route,
    both,
    opens_page,
    shared_body,
)
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.errors import InvalidArguments
from deepaas.executors import Reply
from deepaas.jobs.records import (
    Job,
    Kind,
    describe_history,
    describe_job,
)
from deepaas.jobs.service import Jobs
from deepaas.media_types import EVENT_STREAM
from deepaas.predictions import Predictions, ServedModel
from deepaas.sse import encode_comment, encode_event


class DeepaasV2:
    """The handlers, for the models given."""

    def __init__(
        self,
        predictions: Predictions,
        jobs: Jobs,
        settings: Settings,
        tensors: ModelTensors,
    ) -> None:
        self._predictions = predictions
        self._jobs = jobs
        self._settings = settings
        self._tensors = tensors
        self._base = settings.base_path
        self._metadata = schemas.ModelMeta()

    def call_routes(self) -> list[Route]:
        """Return those that should be the first: patterns are tried in order."""
        model = f"{self._base}/v2/models/{MODEL}"
        return both(web.post, f"{model}/predict", self.predict)

    def routes(self) -> list[Route]:
        """Return the other routes of these handlers."""
        base, model = self._base, f"{self._base}/v2/models/{MODEL}"
        root = [f"{base}/", base] if base else ["/"]
        return [
            *(Route(web.get(path, self.versions), Access.HOME) for path in root),
            *both(web.get, f"{base}/v2", self.version, error_body=shared_body),
            *both(web.get, f"{base}/v2/models", self.models),
            *both(web.get, model, self.model, error_body=shared_body),
            *both(web.get, f"{model}/predict/{{uuid}}/result", self.result),
            *self._job_routes(f"{model}/predict", Kind.PREDICT),
            *both(web.post, f"{model}/train", self.train),
            *both(web.get, f"{model}/train", self.trainings),
            *self._job_routes(f"{model}/train", Kind.TRAIN),
        ]

    # -- versions and models

    async def versions(self, request: web.Request) -> web.Response:
        """Answer with the versions of the API; send a browser to the page."""
        vary = {"Vary": "Accept"}
        if self._settings.doc_endpoint and opens_page(request):
            raise web.HTTPFound(relative(request, "ui/"), headers=vary)
        base = prefix(request) + self._base
        pages = {"rel": "help", "type": "text/html", "href": f"{base}/api"}
        document = {"rel": "describedby", "href": f"{base}/swagger.json"}
        value = {
            "versions": [self._version(base)],
            "links": [*([pages] if self._settings.doc_endpoint else []), document],
        }
        return web.json_response(schemas.Versions().dump(value), headers=vary)

    async def version(self, request: web.Request) -> web.Response:
        """Answer with a description of this version."""
        value = self._version(prefix(request) + self._base)
        if self._settings.inference_endpoint:
            value |= {"name": "deepaas", "extensions": EXTENSIONS}
        return web.json_response(schemas.Version().dump(value))

    def _version(self, base: str) -> dict[str, Any]:
        link = {"rel": "self", "href": f"{base}/v2/"}
        return {"version": "stable", "id": "v2", "links": [link]}

    async def models(self, request: web.Request) -> web.Response:
        """Answer with the metadata of all models."""
        base = prefix(request) + self._base
        models = self._predictions.models
        described = await asyncio.gather(
            *(self._describe(model, base) for model in models.values())
        )
        return json_response({"models": described})

    async def model(self, request: web.Request) -> web.Response:
        """Answer with the metadata of a model.

        The keys of the Open Inference Protocol are added to those of the author.
        """
        request[CONTEXT].uncoded = True
        model = self._find(request)
        value = await self._describe(model, prefix(request) + self._base)
        if self._settings.inference_endpoint:
            value = {**await self._tensors.describe(model), **value}
        return json_response(value)

    async def _describe(self, model: ServedModel, base: str) -> dict[str, Any]:
        metadata = await model.metadata()
        href = f"{base}/v2/models/{quote(model.name, safe='')}/"
        value = {**metadata, "links": [{"rel": "self", "href": href}]}
        return {**value, **self._metadata.dump(value)}

    def _find(self, request: web.Request, kind: Kind | None = None) -> ServedModel:
        """Returns the model of a request. Raises NotFound, also if it is turned off."""
        method = None if kind is None else kind.value
        return self._predictions.find(request.match_info["model"], method)

    # -- calls

    async def predict(self, request: web.Request) -> web.StreamResponse:
        """Make a prediction, at once or in a job."""
        model = self._predictions.find_callable(request.match_info["model"], "predict")
        if _prefers_async(request):
            return await self._begin(request, model, Kind.PREDICT)
        context = request[CONTEXT]
        parsing = Parsing(request, model.arguments("predict"), self._settings)
        async with parsing as given:
            reply = await self._predictions.predict(
                model,
                given,
                label=context.request_id,
                on_event=context.note_end,
            )
            return await send(request, reply)

    async def train(self, request: web.Request) -> web.StreamResponse:
        """Start a training."""
        model = self._predictions.find_callable(request.match_info["model"], "train")
        return await self._begin(request, model, Kind.TRAIN)

    async def _begin(
        self, request: web.Request, model: ServedModel, kind: Kind
    ) -> web.Response:
        """Starts a job, which takes over the files of the request."""
        method = kind.value
        async with contextlib.AsyncExitStack() as files:
            parsing = Parsing(request, model.arguments(method), self._settings)
            given = await files.enter_async_context(parsing)
            key = await read_key(request, given)
            job = None
            if key is not None:
                name = model.name
                job = await self._jobs.find_started(kind, name, key)
            if job is None:
                call = await self._predictions.prepare(model, method, given, shows=True)
                job = await self._jobs.start(call, files.pop_all(), key)
        request[CONTEXT].job = job.uuid
        headers = {"Location": relative(request, job.uuid)}
        if kind is Kind.PREDICT:
            headers["Preference-Applied"] = "respond-async"
        status = 202 if kind is Kind.PREDICT else 200
        return self._job(job, status=status, headers=headers)

    # -- jobs

    def _job_routes(self, path: str, kind: Kind) -> list[Route]:
        """Return the routes of both kinds of jobs; `path` is that of the method."""
        handlers: dict[str, Callable[..., Awaitable[web.StreamResponse]]] = {
            "": self.job,
            "/log": self.log,
            "/events": self.events,
            "/metrics": self.metrics,
        }
        one = f"{path}/{{uuid}}"
        return [
            *both(web.delete, one, partial(self.end, kind)),
            *(
                route
                for place, handler in handlers.items()
                for route in both(web.get, one + place, partial(handler, kind))
            ),
        ]

    async def trainings(self, request: web.Request) -> web.Response:
        """Answer with the trainings of a model."""
        model = self._find(request, Kind.TRAIN)
        try:
            query = schemas.JobQuery().load(request.query, unknown=EXCLUDE)
        except ValidationError as error:
            messages = error.messages_dict
            raise InvalidArguments(messages) from error
        found = await self._jobs.find(Kind.TRAIN, model.name, **query)
        dump = schemas.Job(many=True).dump
        # The list may be long.
        return await asyncio.to_thread(
            lambda: json_response(dump(map(describe_job, found)))
        )

    async def job(self, kind: Kind, request: web.Request) -> web.Response:
        """Answer with a job."""
        return self._job(await self._get(kind, request))

    async def end(self, kind: Kind, request: web.Request) -> web.Response:
        """Cancel a job, or remove one that has ended."""
        model = self._find(request, kind)
        uuid = request.match_info["uuid"]
        job = await self._jobs.end(kind, model.name, uuid)
        return web.Response(status=204) if job is None else self._job(job)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Answer as the call without `Prefer` would have."""
        job = await self._get(Kind.PREDICT, request)
        if not job.status.ended:
            return self._job(job, status=202)
        # The call would not have answered with parts, but that does no harm.
        in_parts = "Range" in request.headers
        return await send(request, await self._jobs.result(job, in_parts=in_parts))

    async def log(self, kind: Kind, request: web.Request) -> web.StreamResponse:
        """Answer with the log of a job; with `follow`, until the job has ended."""
        job = await self._get(kind, request)
        media_type = "text/plain; charset=utf-8"
        if request.query.get("follow", "0") not in ("1", "true"):
            log = await self._jobs.log(job.uuid)
            if log is None:
                return web.Response(headers={"Content-Type": media_type, **NOSNIFF})
            reply = Reply(media_type, path=str(log.path), delete=log.is_copy)
            return await send(request, reply)
        response = await begin_stream(request, media_type)
        if request.method != "HEAD":
            async for piece in self._jobs.follow_log(job.uuid):
                await response.write(piece)
        return response

    async def events(self, kind: Kind, request: web.Request) -> web.StreamResponse:
        """Send the changes of a job as server-sent events until it has ended."""
        job = await self._get(kind, request)
        response = await begin_stream(request, EVENT_STREAM)
        if request.method == "HEAD":
            return response
        before = None
        async for now in self._jobs.follow(kind, job.model, job.uuid):
            await response.write(_news(before, now))
            before = now
        return response

    async def metrics(self, kind: Kind, request: web.Request) -> web.Response:
        """Answer with the history of progress: an array for each metric, and dates."""
        job = await self._get(kind, request)
        reports = await self._jobs.history(job.uuid)
        return await asyncio.to_thread(lambda: json_response(describe_history(reports)))

    async def _get(self, kind: Kind, request: web.Request) -> Job:
        model = self._find(request, kind)
        uuid = request.match_info["uuid"]
        return await self._jobs.get(kind, model.name, uuid)

    def _job(
        self, job: Job, *, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> web.Response:
        headers = dict(headers or {})
        if not job.status.ended:
            headers["Retry-After"] = "1"
        return json_response(
            schemas.Job().dump(describe_job(job)), status=status, headers=headers
        )


def _prefers_async(request: web.Request) -> bool:
    """Tell whether the caller wants a job at once (RFC 7240)."""
    if "Prefer" not in request.headers:
        return False
    preferences = ",".join(request.headers.getall("Prefer", ())).split(",")
    names = [preference.partition(";")[0].strip() for preference in preferences]
    return "respond-async" in map(str.lower, names)


def _news(before: Job | None, now: Job) -> bytes:
    """Return the changes of a job as server-sent events; a comment for none.

    Both may have changed at once; the last event of a job is its end.
    """
    status = progress = b""
    if before is None or before.status is not now.status:
        status = _event("status", describe_job(now))
    if now.progress is not None and (before is None or before.progress != now.progress):
        progress = _event("progress", now.progress)
    if before is not None and now.status.ended:
        return progress + status or encode_comment("nothing new")
    return status + progress or encode_comment("nothing new")


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return encode_event(encode_json(data), name)
