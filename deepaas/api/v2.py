"""The routes of version 2: versions, models, predict."""

import asyncio
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import web

from deepaas.api import schemas
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.errors import DeepaasError, NotFound
from deepaas.executors import Executor, Reply
from deepaas.model.adapter import ModelAdapter

REQUEST_ID = web.RequestKey("request_id", str)
"""What a caller and the logs know a request by."""

CHUNK = 256 * 1024
"""Bytes of a large answer that are handed to the socket at once."""


@dataclass(frozen=True)
class ServedModel:
    """A model, and where it computes."""

    adapter: ModelAdapter
    executor: Executor


class V2:
    """The handlers, for the models given."""

    def __init__(self, models: Mapping[str, ServedModel], settings: Settings) -> None:
        self._models = models
        self._settings = settings
        self._base = settings.base_path
        self._metadata = schemas.ModelMeta()

    def routes(self) -> list[web.AbstractRouteDef]:
        base, model = self._base, f"{self._base}/v2/models/{{model}}"
        root = [f"{base}/", base] if base else ["/"]
        return [
            *(web.get(path, self.versions) for path in root),
            *_both(web.get, f"{base}/v2", self.version),
            *_both(web.get, f"{base}/v2/models", self.models),
            *_both(web.get, model, self.model),
            *_both(web.post, f"{model}/predict", self.predict),
        ]

    # -- what there is

    async def versions(self, request: web.Request) -> web.Response:
        links = [
            {"rel": "help", "type": "text/html", "href": f"{self._base}/api"},
            {"rel": "describedby", "href": f"{self._base}/swagger.json"},
        ]
        value = {
            "versions": [self._version()],
            "links": links if self._settings.doc_endpoint else [],
        }
        return web.json_response(schemas.Versions().dump(value))

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response(schemas.Version().dump(self._version()))

    def _version(self) -> dict[str, Any]:
        link = {"rel": "self", "href": f"{self._base}/v2/"}
        return {"version": "stable", "id": "v2", "links": [link]}

    async def models(self, request: web.Request) -> web.Response:
        described = await asyncio.gather(*map(self._describe, self._models.values()))
        return _json({"models": described})

    async def model(self, request: web.Request) -> web.Response:
        return _json(await self._describe(self._find(request)))

    async def _describe(self, model: ServedModel) -> dict[str, Any]:
        metadata = await model.adapter.metadata()
        href = f"{self._base}/v2/models/{quote(model.adapter.name, safe='')}/"
        value = {**metadata, "links": [{"rel": "self", "href": href}]}
        return {**value, **self._metadata.dump(value)}

    def _find(self, request: web.Request) -> ServedModel:
        name = request.match_info["model"]
        try:
            return self._models[name]
        except KeyError:
            known = ", ".join(self._models)
            raise NotFound(
                f"There is no model {name!r}; these are served: {known}."
            ) from None

    # -- calls

    async def predict(self, request: web.Request) -> web.StreamResponse:
        model = self._find(request)
        if not self._settings.predict_endpoint:
            raise NotFound("Predictions are turned off (--nopredict-endpoint).")
        if not model.adapter.has_predict:
            raise DeepaasError("The model does not implement predict.", status=501)
        arguments = model.adapter.predict_args
        async with arguments.parse(request, self._settings.client_max_size) as kwargs:
            accept = kwargs.get("accept") if arguments.negotiation else None
            reply = await model.executor.call(
                "predict",
                kwargs,
                media_type=accept if isinstance(accept, str) else None,
                timeout=self._settings.predict_timeout or None,
                finish=True,
                label=request[REQUEST_ID],
            )
            return await _send(request, reply)


def _both(method: Any, path: str, handler: Any) -> list[web.RouteDef]:
    """Route a path with and without its trailing slash: no client is redirected."""
    return [method(path, handler), method(f"{path}/", handler)]


def _json(value: Any) -> web.Response:
    return web.Response(body=encode_json(value), content_type="application/json")


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    headers = {"Content-Type": reply.media_type}
    if reply.filename:
        headers["Content-Disposition"] = _disposition(reply)
    if reply.path is not None:
        return await _send_file(request, reply, headers)
    body = reply.body or b""
    if len(body) <= CHUNK:
        return web.Response(body=body, headers=headers)
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    view = memoryview(body)
    for start in range(0, len(view), CHUNK):
        await response.write(view[start : start + CHUNK])
    return response


async def _send_file(
    request: web.Request, reply: Reply, headers: Mapping[str, str]
) -> web.StreamResponse:
    assert reply.path is not None
    response = _FileResponse(reply.path, headers=headers)
    try:
        await response.prepare(request)
    finally:
        if reply.delete:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(reply.path)
    return response


class _FileResponse(web.FileResponse):
    """A file that the handler itself sends, while its call still holds the file."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        # aiohttp prepares what a handler returns, and would look for the file again.
        return None if self.prepared else await super().prepare(request)


def _disposition(reply: Reply) -> str:
    """Name a file as RFC 6266 has it: shown where a browser can, else saved."""
    assert reply.filename is not None
    shown = ("image/", "text/", "audio/", "video/", "application/json")
    kind = "inline" if reply.media_type.startswith(shown) else "attachment"
    plain = reply.filename.encode("ascii", "replace").decode()
    plain = plain.replace("\\", "_").replace('"', "_")
    plain = "".join(c if c.isprintable() else "_" for c in plain)
    value = f'{kind}; filename="{plain}"'
    if plain != reply.filename:
        name = reply.filename.encode("utf-8", "surrogateescape")
        value += f"; filename*=UTF-8''{quote(name)}"
    return value
