"""The routes of version 2: versions, models, predict, train, and jobs."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

from aiohttp import web
from marshmallow import EXCLUDE, ValidationError

from deepaas.api import schemas
from deepaas.api.pages import opens_page
from deepaas.api.paths import MODEL, relative
from deepaas.api.requests.values import Parsing
from deepaas.api.responses import (
    JOB,
    NOSNIFF,
    REQUEST_ID,
    begin_stream,
    both,
    json_response,
    note_end,
    prefix,
    send,
)
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.errors import DeepaasError, InvalidArguments, NotFound
from deepaas.executors import Executor
from deepaas.jobs.records import (
    Job,
    Kind,
    describe_history,
    describe_job,
)
from deepaas.jobs.service import Jobs
from deepaas.model.adapter import ModelAdapter


@dataclass(frozen=True)
class ServedModel:
    """A model, and where it computes."""

    adapter: ModelAdapter
    executor: Executor


class V2:
    """The handlers, for the models given."""

    def __init__(
        self, models: Mapping[str, ServedModel], jobs: Jobs, settings: Settings
    ) -> None:
        self._models = models
        self._jobs = jobs
        self._settings = settings
        self._base = settings.base_path
        self._metadata = schemas.ModelMeta()

    def routes(self) -> list[web.AbstractRouteDef]:
        base, model = self._base, f"{self._base}/v2/models/{MODEL}"
        root = [f"{base}/", base] if base else ["/"]
        return [
            # First, since patterns are tried one after the other.
            *both(web.post, f"{model}/predict", self.predict),
            *(web.get(path, self.versions) for path in root),
            *both(web.get, f"{base}/v2", self.version),
            *both(web.get, f"{base}/v2/models", self.models),
            *both(web.get, model, self.model),
            *both(web.get, f"{model}/predict/{{uuid}}/result", self.result),
            *self._job_routes(f"{model}/predict", Kind.PREDICT),
            *both(web.post, f"{model}/train", self.train),
            *both(web.get, f"{model}/train", self.trainings),
            *self._job_routes(f"{model}/train", Kind.TRAIN),
        ]

    # -- what there is

    async def versions(self, request: web.Request) -> web.Response:
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
        return web.json_response(
            schemas.Version().dump(self._version(prefix(request) + self._base))
        )

    def _version(self, base: str) -> dict[str, Any]:
        link = {"rel": "self", "href": f"{base}/v2/"}
        return {"version": "stable", "id": "v2", "links": [link]}

    async def models(self, request: web.Request) -> web.Response:
        base = prefix(request) + self._base
        described = await asyncio.gather(
            *(self._describe(model, base) for model in self._models.values())
        )
        return json_response({"models": described})

    async def model(self, request: web.Request) -> web.Response:
        base = prefix(request) + self._base
        return json_response(await self._describe(self._find(request), base))

    async def _describe(self, model: ServedModel, base: str) -> dict[str, Any]:
        metadata = await model.adapter.metadata()
        href = f"{base}/v2/models/{quote(model.adapter.name, safe='')}/"
        value = {**metadata, "links": [{"rel": "self", "href": href}]}
        return {**value, **self._metadata.dump(value)}

    def _find(self, request: web.Request, kind: Kind | None = None) -> ServedModel:
        """Return the model of a request. Raises NotFound, also if it is turned off."""
        name = request.match_info["model"]
        if kind is Kind.PREDICT and not self._settings.predict_endpoint:
            raise NotFound("Predictions are turned off (--nopredict-endpoint).")
        if kind is Kind.TRAIN and not self._settings.train_endpoint:
            raise NotFound("Trainings are turned off (--notrain-endpoint).")
        try:
            return self._models[name]
        except KeyError:
            known = ", ".join(self._models)
            raise NotFound(
                f"There is no model {name!r}; these are served: {known}."
            ) from None

    # -- calls

    async def predict(self, request: web.Request) -> web.StreamResponse:
        model = self._find(request, Kind.PREDICT)
        if not model.adapter.has_predict:
            raise DeepaasError("The model does not implement predict.", status=501)
        if _prefers_async(request):
            return await self._begin(request, model, Kind.PREDICT)
        arguments = model.adapter.predict_args
        async with Parsing(request, arguments, self._settings) as kwargs:
            reply = await model.executor.call(
                "predict",
                kwargs,
                media_type=arguments.accepted(kwargs),
                timeout=self._settings.predict_timeout or None,
                finish=True,
                label=request[REQUEST_ID],
                on_event=partial(note_end, request),
            )
            return await send(request, reply)

    async def train(self, request: web.Request) -> web.StreamResponse:
        model = self._find(request, Kind.TRAIN)
        if not model.adapter.has_train:
            raise DeepaasError("The model does not implement train.", status=501)
        return await self._begin(request, model, Kind.TRAIN)

    async def _begin(
        self, request: web.Request, model: ServedModel, kind: Kind
    ) -> web.Response:
        """Start a job, which takes over the files of the request."""
        predicts = kind is Kind.PREDICT
        adapter = model.adapter
        arguments = adapter.predict_args if predicts else adapter.train_args
        async with contextlib.AsyncExitStack() as files:
            parsing = Parsing(request, arguments, self._settings)
            kwargs = await files.enter_async_context(parsing)
            args = await asyncio.to_thread(arguments.show, kwargs)
            job = await self._jobs.start(
                kind,
                adapter.name,
                model.executor,
                kwargs,
                args=args,
                files=files.pop_all(),
                media_type=arguments.accepted(kwargs) if predicts else None,
                timeout=self._settings.predict_timeout or None if predicts else None,
            )
        request[JOB] = job.uuid
        headers = {"Location": relative(request, job.uuid)}
        if predicts:
            headers["Preference-Applied"] = "respond-async"
        return self._job(job, status=202 if predicts else 200, headers=headers)

    # -- jobs

    def _job_routes(self, path: str, kind: Kind) -> list[web.RouteDef]:
        """Route what both kinds of jobs have; `path` is that of the method."""
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
        model = self._find(request, Kind.TRAIN)
        try:
            query = schemas.JobQuery().load(request.query, unknown=EXCLUDE)
        except ValidationError as error:
            messages = error.messages_dict
            raise InvalidArguments(messages) from error
        found = await self._jobs.find(Kind.TRAIN, model.adapter.name, **query)
        dump = schemas.Job(many=True).dump
        # There may be many of them.
        return await asyncio.to_thread(
            lambda: json_response(dump(map(describe_job, found)))
        )

    async def job(self, kind: Kind, request: web.Request) -> web.Response:
        return self._job(await self._get(kind, request))

    async def end(self, kind: Kind, request: web.Request) -> web.Response:
        model = self._find(request, kind)
        uuid = request.match_info["uuid"]
        job = await self._jobs.end(kind, model.adapter.name, uuid)
        return web.Response(status=204) if job is None else self._job(job)

    async def result(self, request: web.Request) -> web.StreamResponse:
        """Answer as the call without `Prefer` would have."""
        job = await self._get(Kind.PREDICT, request)
        if not job.status.ended:
            return self._job(job, status=202)
        # The call would not have answered with parts, but that harms nobody.
        in_parts = "Range" in request.headers
        return await send(request, await self._jobs.result(job, in_parts=in_parts))

    async def log(self, kind: Kind, request: web.Request) -> web.StreamResponse:
        job = await self._get(kind, request)
        media_type = "text/plain; charset=utf-8"
        if request.query.get("follow", "0") not in ("1", "true"):
            path = await self._jobs.log(job.uuid)
            headers = {"Content-Type": media_type, **NOSNIFF}
            if path is None:
                return web.Response(headers=headers)
            return web.FileResponse(path, headers=headers)
        response = await begin_stream(request, media_type)
        if request.method != "HEAD":
            async for piece in self._jobs.follow_log(job.uuid):
                await response.write(piece)
        return response

    async def events(self, kind: Kind, request: web.Request) -> web.StreamResponse:
        """Tell what happens to a job, in Server-Sent Events, until it has ended."""
        job = await self._get(kind, request)
        response = await begin_stream(request, "text/event-stream")
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
        return await self._jobs.get(kind, model.adapter.name, uuid)

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
    """Return what has changed in a job as Server-Sent Events; a comment for nothing."""
    events = b""
    if before is None or before.status is not now.status:
        events += _event("status", describe_job(now))
    if now.progress is not None and (before is None or before.progress != now.progress):
        events += _event("progress", now.progress)
    return events or b": nothing new\n\n"


def _event(name: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {name}\ndata: ".encode() + encode_json(data) + b"\n\n"
