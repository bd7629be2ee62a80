"""Files that an author names as examples of an argument, served to try the model with.

Only files that are named are served, and only those within the author's package.
"""

import asyncio
import logging
import mimetypes
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from aiohttp import web

from deepaas.api.responses import send
from deepaas.api.routes import MODEL, Route, both
from deepaas.errors import Gone, NotFound
from deepaas.executors import Reply
from deepaas.jobs.records import Kind
from deepaas.media_types import BINARY
from deepaas.model.adapter import ModelAdapter

logger = logging.getLogger(__name__)

Addresses: TypeAlias = Mapping[str, Sequence[Mapping[str, str]]]
"""Names and addresses of files, by the argument that they are examples of."""

HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "sandbox; default-src 'none'",  # an SVG is a page too
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Example:
    """A file to try an argument with."""

    kind: Kind
    argument: str
    path: Path | None
    """None for one that cannot be served."""


class Examples:
    """The files of each model, numbered in the order in which its author names them."""

    def __init__(self, models: Sequence[ModelAdapter], base_path: str) -> None:
        self._base = base_path
        self._found = {model.name: tuple(_find(model)) for model in models}

    def routes(self) -> list[Route]:
        """Return the route of the files."""
        path = f"{self._base}/v2/models/{MODEL}/examples/{{number}}"
        return both(web.get, path, self.example)

    def addresses(self) -> dict[tuple[str, Kind], Addresses]:
        """Return names and addresses by model, method and argument.

        The addresses are relative to the root of the API.
        """
        found: dict[tuple[str, Kind], dict[str, list[Mapping[str, str]]]] = {
            (model, kind): {} for model in self._found for kind in Kind
        }
        for model, examples in self._found.items():
            for number, one in enumerate(examples):
                if one.path is not None:
                    url = f"v2/models/{quote(model, safe='')}/examples/{number}"
                    listed = found[model, one.kind].setdefault(one.argument, [])
                    listed.append({"name": one.path.name, "url": url})
        return {**found}

    async def example(self, request: web.Request) -> web.StreamResponse:
        """Send a file."""
        model, number = request.match_info["model"], request.match_info["number"]
        numbered = {str(n): one for n, one in enumerate(self._found.get(model, ()))}
        example = numbered.get(number)
        if example is None or example.path is None:
            raise NotFound(f"The model {model!r} has no example {number!r}.")
        path = example.path
        if not await asyncio.to_thread(_is_readable, path):
            raise NotFound(f"The file {path.name!r} cannot be read.")
        reply = Reply(_media_type(path), path=str(path), filename=path.name)
        try:
            return await send(request, reply, headers=HEADERS)
        except Gone as error:
            raise NotFound(f"The file {path.name!r} is gone.") from error


def _find(model: ModelAdapter) -> Iterator[Example]:
    """Find the files that a model's author names; warn of those that cannot be used."""
    for kind, arguments in (
        (Kind.PREDICT, model.predict_args),
        (Kind.TRAIN, model.train_args),
    ):
        for item in arguments.items:
            where = f"{model.name}: the argument {item.name!r} of {kind.value}"
            for reason in item.hints.ignored:
                logger.warning("%s: %s", where, reason)
            for name in item.hints.examples if item.is_file else ():
                path, reason = _locate(model.folder, name)
                if path is None:
                    logger.warning("%s: no example %r: %s", where, name, reason)
                yield Example(kind, item.name, path)


def _locate(folder: Path | None, name: str) -> tuple[Path | None, str]:
    """Return a file in a folder, or None and the reason why there is none."""
    if folder is None:
        return None, "the model's package is in no folder"
    folder = folder.resolve()
    try:
        path = (folder / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or NUL
        return None, getattr(error, "strerror", None) or str(error)
    if not path.is_relative_to(folder):
        return None, f"it is not in {folder}"
    if not _is_readable(path):
        return None, "it is not a file that can be read"
    return path, ""


def _is_readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


def _media_type(path: Path) -> str:
    media_type, coding = mimetypes.guess_type(path.name)
    return BINARY if coding or media_type is None else media_type
