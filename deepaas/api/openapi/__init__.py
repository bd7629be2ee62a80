"""The documents of the API: /swagger.json and /openapi.json."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from deepaas.api.context import prefix
from deepaas.api.openapi.arguments31 import FileExamples
from deepaas.api.openapi.inference import add_inference
from deepaas.api.openapi.openapi31 import write_openapi31
from deepaas.api.openapi.operations import describe
from deepaas.api.openapi.swagger import write_swagger
from deepaas.api.routes import Access, Route, both
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.jobs.records import Kind
from deepaas.media_types import JSON
from deepaas.model.adapter import ModelAdapter


class Documentation:
    """The documents, each made once, when it is first asked for."""

    def __init__(
        self,
        models: Sequence[ModelAdapter],
        settings: Settings,
        examples: Mapping[tuple[str, Kind], FileExamples],
    ) -> None:
        self._base = settings.base_path
        self._models = models
        self._settings = settings
        self._examples = examples
        self._swagger = _Document(self._write_swagger)
        self._openapi = _Document(self._write_openapi)

    def routes(self) -> list[Route]:
        return [
            *both(web.get, f"{self._base}/swagger.json", self.swagger, Access.PAGE),
            *both(web.get, f"{self._base}/openapi.json", self.openapi),
        ]

    async def swagger(self, request: web.Request) -> web.Response:
        base = prefix(request)
        return await self._swagger.answer({"basePath": base} if base else {})

    async def openapi(self, request: web.Request) -> web.Response:
        base = prefix(request)
        return await self._openapi.answer({"servers": [{"url": base}]} if base else {})

    def _write_swagger(self) -> dict[str, Any]:
        return write_swagger(describe(self._models, self._settings), self._base)

    def _write_openapi(self) -> dict[str, Any]:
        description = describe(self._models, self._settings)
        if self._settings.inference_endpoint:
            description = add_inference(description, self._models, self._settings)
        return write_openapi31(
            description, self._base, self._examples, self._settings.client_max_size
        )


class _Document:
    """A document that is written at the first request and kept."""

    def __init__(self, write: Callable[[], dict[str, Any]]) -> None:
        self._write = write
        self._writing = asyncio.Lock()
        self._written: dict[str, Any] = {}
        self._body = b""

    async def answer(self, added: Mapping[str, Any]) -> web.Response:
        """Answer with the document and the keys added for this caller."""
        async with self._writing:
            if not self._written:
                self._written, self._body = await asyncio.to_thread(self._make)
        body = encode_json({**self._written, **added}) if added else self._body
        return web.Response(body=body, content_type=JSON)

    def _make(self) -> tuple[dict[str, Any], bytes]:
        document = self._write()
        return document, encode_json(document)
