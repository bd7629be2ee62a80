"""Files that an author names as examples of an argument, served to try the model with.

Only files that are named are served, and only those within the author's package.
"""

import asyncio
import mimetypes
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from deepaas.api.responses import send
from deepaas.api.routes import MODEL, Route, both
from deepaas.errors import Gone, NotFound
from deepaas.executors import Reply
from deepaas.media_types import BINARY
from deepaas.model.examples import is_readable
from deepaas.predictions import ServedModel

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "sandbox; default-src 'none'",  # an SVG is a page too
    "X-Content-Type-Options": "nosniff",
}


class Examples:
    """The files of each model, numbered in the order in which its author names them."""

    def __init__(self, models: Mapping[str, ServedModel], base_path: str) -> None:
        self._base = base_path
        self._models = models

    def routes(self) -> list[Route]:
        """Return the route of the files."""
        path = f"{self._base}/v2/models/{MODEL}/examples/{{number}}"
        return both(web.get, path, self.example)

    async def example(self, request: web.Request) -> web.StreamResponse:
        """Send a file."""
        model, number = request.match_info["model"], request.match_info["number"]
        served = self._models.get(model)
        named = () if served is None else served.description.examples
        example = {str(n): one for n, one in enumerate(named)}.get(number)
        if example is None or example.path is None:
            raise NotFound(f"The model {model!r} has no example {number!r}.")
        path = Path(example.path)
        if not await asyncio.to_thread(is_readable, path):
            raise NotFound(f"The file {path.name!r} cannot be read.")
        reply = Reply(_media_type(path), path=str(path), filename=path.name)
        try:
            return await send(request, reply, headers=HEADERS)
        except Gone as error:
            raise NotFound(f"The file {path.name!r} is gone.") from error


def _media_type(path: Path) -> str:
    media_type, coding = mimetypes.guess_type(path.name)
    return BINARY if coding or media_type is None else media_type
