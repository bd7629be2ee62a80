"""Reads values by argument from a request, and lists the ignored names."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from aiohttp import web

from deepaas.api.context import CONTEXT
from deepaas.api.requests.bodies import (
    MAX_UNTHREADED_BYTES,
    NO_BODY,
    Body,
    read_body,
)
from deepaas.api.requests.uploads import Uploads
from deepaas.arguments.finding import find_ignored, find_values, header_of, refuse
from deepaas.arguments.outcome import JSONFile, Values
from deepaas.config import Settings
from deepaas.errors import InvalidArguments
from deepaas.served import ServedArguments


class Parsing(AbstractAsyncContextManager[Values]):
    """The values of a request; its files are removed at the end.

    Raises BadBody, BodyTooLarge, InvalidArguments, NoSpace, UnsupportedMediaType.
    """

    def __init__(
        self, request: web.Request, arguments: ServedArguments, settings: Settings
    ) -> None:
        self._request = request
        self._arguments = arguments
        self._settings = settings
        self._uploads = Uploads()

    async def __aenter__(self) -> Values:
        try:
            return await self._read()
        except BaseException:
            await self._uploads.remove()
            raise

    async def __aexit__(self, *error: object) -> None:
        if self._uploads.files:
            await self._uploads.remove()

    async def _read(self) -> Values:
        body = NO_BODY
        if self._request.can_read_body:
            body = await read_body(
                self._request,
                self._settings.client_max_size,
                self._arguments.by_name,
                self._uploads,
            )
        if body.json_file is not None:
            return self._pass_on(body)
        if body.size > MAX_UNTHREADED_BYTES:
            return await asyncio.to_thread(self._collect, body)
        return self._collect(body)

    def _sources(self, body: Body) -> dict[str, Mapping[str, Any]]:
        request = self._request
        sources: dict[str, Mapping[str, Any]] = {
            "query": request.query,
            "form": body.form,
            "json": body.json,
            "headers": request.headers,
        }
        if self._arguments.takes_cookies:
            sources["cookies"] = request.cookies
        return sources

    def _collect(self, body: Body) -> Values:
        """Return the values of a request, and messages on those that are refused."""
        request, arguments = self._request, self._arguments
        sources = self._sources(body)
        problems: Mapping[str, Any] = {}
        if ignored := find_ignored(arguments, sources, body.dropped):
            self._note_ignored(header_of(ignored))
            if self._settings.strict_arguments:
                problems = refuse(ignored, arguments)
        unknown = "" if body.known else request.content_type
        try:
            values = find_values(arguments, sources, unknown)
        except InvalidArguments as error:
            messages = {**problems, **error.messages}
            raise InvalidArguments(messages, status=error.status) from error
        large = body.size > MAX_UNTHREADED_BYTES
        return Values(values, self._accept(), problems, large)

    def _pass_on(self, body: Body) -> Values:
        """Return the values of a request whose JSON is read where the model is."""
        assert body.json_file is not None
        file = JSONFile(
            path=body.json_file,
            charset=self._request.charset,
            loaded=self._uploads.open_empty(),
            query=tuple(self._request.query),
            strict=self._settings.strict_arguments,
        )
        values = find_values(self._arguments, self._sources(body))
        return Values(
            values,
            self._accept(),
            problems={},
            large=True,
            file=file,
            note_ignored=self._note_ignored,
        )

    def _accept(self) -> str:
        if self._arguments.negotiation is None:
            return ""
        return ",".join(self._request.headers.getall("Accept", ()))

    def _note_ignored(self, names: str) -> None:
        self._request[CONTEXT].ignored = names
