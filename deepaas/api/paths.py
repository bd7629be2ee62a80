"""Paths of requests: references relative to them, and slashes in a row."""

import re
from collections.abc import Iterator
from typing import Any

from aiohttp import web
from aiohttp.web_urldispatcher import (
    AbstractResource,
    AbstractRoute,
    MatchInfoError,
    UrlMappingMatchInfo,
)
from yarl import URL

SLASHES = re.compile("/{2,}")


def relative(request: web.Request, below: str) -> str:
    """Return the reference from a request's address to a path below it (RFC 3986, 4.2).

    It holds under any prefix that a proxy adds. `below` is quoted.
    """
    last = request.rel_url.raw_path.rpartition("/")[2]
    return f"{last}/{below}" if last else below


def merge_slashes(app: web.Application) -> None:
    """Let any number of slashes in a row count as one in the path of a request.

    To be called when all routes are there.
    """
    app.router.register_resource(_MergedSlashes(app.router))


class _MergedSlashes(AbstractResource):
    """The last resource: finds other resources by the path without repeated slashes.

    Middlewares and logs see the route of the path with single slashes. A path without
    repeated slashes is routed as without this resource.
    """

    def __init__(self, router: web.UrlDispatcher) -> None:
        super().__init__()
        self._router = router

    @property
    def canonical(self) -> str:
        return "/"

    async def resolve(
        self, request: web.Request
    ) -> tuple[UrlMappingMatchInfo | None, set[str]]:
        path = request.rel_url.raw_path
        merged = SLASHES.sub("/", path)
        if merged == path:
            return None, set()
        url = request.rel_url.with_path(merged, encoded=True)
        found = await self._router.resolve(request.clone(rel_url=url))
        if not isinstance(found, MatchInfoError):
            return found, set()
        error = found.http_exception
        if isinstance(error, web.HTTPMethodNotAllowed):
            return None, set(error.allowed_methods)
        return None, set()

    # aiohttp's interface of a resource has these too; nothing here calls them.

    def url_for(self, **kwargs: str) -> URL:
        raise NotImplementedError

    def add_prefix(self, prefix: str) -> None:
        raise NotImplementedError

    def get_info(self) -> Any:
        return {}

    def raw_match(self, path: str) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[AbstractRoute]:
        return iter(())
