"""The documents of the API: /swagger.json and /openapi.json."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from aiohttp import web

from deepaas.api.context import prefix
from deepaas.api.openapi.inference import add_inference
from deepaas.api.openapi.openapi31 import write_openapi31
from deepaas.api.openapi.operations import describe
from deepaas.api.openapi.swagger import write_swagger
from deepaas.api.routes import Access, Route, both
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.media_types import JSON
from deepaas.model.description import ModelDescription
from deepaas.predictions import ServedModel

_Models: TypeAlias = Sequence[ModelDescription]


class Documentation:
    """The documents, each made when it is asked for and the models have changed."""

    def __init__(self, models: Sequence[ServedModel], settings: Settings) -> None:
        self._base = settings.base_path
        self._models = models
        self._settings = settings
        self._swagger = _Document(self._write_swagger)
        self._openapi = _Document(self._write_openapi)

    def routes(self) -> list[Route]:
        return [
            *both(web.get, f"{self._base}/swagger.json", self.swagger, Access.PAGE),
            *both(web.get, f"{self._base}/openapi.json", self.openapi),
        ]

    async def swagger(self, request: web.Request) -> web.Response:
        base = prefix(request)
        models = await self._documented()
        return await self._swagger.answer(models, {"basePath": base} if base else {})

    async def openapi(self, request: web.Request) -> web.Response:
        base = prefix(request)
        added = {"servers": [{"url": base}]} if base else {}
        return await self._openapi.answer(await self._documented(), added)

    async def _documented(self) -> _Models:
        """Return the models with what the documents need of them."""
        return await asyncio.gather(*(model.documented() for model in self._models))

    def _write_swagger(self, models: _Models) -> dict[str, Any]:
        description = describe(models, self._settings)
        return write_swagger(description, self._base, _fragments(models))

    def _write_openapi(self, models: _Models) -> dict[str, Any]:
        description = describe(models, self._settings)
        if self._settings.inference_endpoint:
            description = add_inference(description, models, self._settings)
        return write_openapi31(
            description,
            self._base,
            _fragments(models),
            self._settings.client_max_size,
        )


def _fragments(models: _Models) -> dict[str, bytes]:
    return {model.name: model.documents or b"" for model in models}


class _Document:
    """A document that is written for some models and kept until they change."""

    def __init__(self, write: Callable[[_Models], dict[str, Any]]) -> None:
        self._write = write
        self._writing = asyncio.Lock()
        self._models: _Models = ()
        self._written: dict[str, Any] = {}
        self._body = b""

    async def answer(self, models: _Models, added: Mapping[str, Any]) -> web.Response:
        """Answer with the document and the keys added for this caller."""
        async with self._writing:
            if not self._written or not _are_same(self._models, models):
                made = await asyncio.to_thread(self._make, models)
                self._written, self._body = made
                self._models = models
            written, body = self._written, self._body
        body = encode_json({**written, **added}) if added else body
        return web.Response(body=body, content_type=JSON)

    def _make(self, models: _Models) -> tuple[dict[str, Any], bytes]:
        document = self._write(models)
        return document, encode_json(document)


def _are_same(some: _Models, others: _Models) -> bool:
    return len(some) == len(others) and all(
        one is other for one, other in zip(some, others, strict=True)
    )
