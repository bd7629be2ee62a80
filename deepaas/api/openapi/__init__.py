"""The documents of the API: /swagger.json, and /openapi.json which says all."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from deepaas.api.openapi.operations import JSON, describe
from deepaas.api.openapi.swagger import write_swagger
from deepaas.api.responses import both, prefix
from deepaas.config import Settings
from deepaas.encoding import encode_json
from deepaas.model.adapter import ModelAdapter


class Documentation:
    """The documents, each made once, when it is first asked for."""

    def __init__(self, models: Sequence[ModelAdapter], settings: Settings) -> None:
        self._base = settings.base_path
        self._models = models
        self._settings = settings
        self._swagger = _Document(self._write_swagger)

    def routes(self) -> list[web.AbstractRouteDef]:
        return [*both(web.get, f"{self._base}/swagger.json", self.swagger)]

    async def swagger(self, request: web.Request) -> web.Response:
        base = prefix(request)
        return await self._swagger.answer({"basePath": base} if base else {})

    def _write_swagger(self) -> dict[str, Any]:
        return write_swagger(describe(self._models, self._settings), self._base)


class _Document:
    """A document that takes long to write, and is kept."""

    def __init__(self, write: Callable[[], dict[str, Any]]) -> None:
        self._write = write
        self._writing = asyncio.Lock()
        self._written: dict[str, Any] = {}
        self._body = b""

    async def answer(self, added: Mapping[str, Any]) -> web.Response:
        """Answer with the document, and what is added to it for this caller."""
        async with self._writing:
            if not self._written:
                self._written, self._body = await asyncio.to_thread(self._make)
        body = encode_json({**self._written, **added}) if added else self._body
        return web.Response(body=body, content_type=JSON)

    def _make(self) -> tuple[dict[str, Any], bytes]:
        document = self._write()
        return document, encode_json(document)
