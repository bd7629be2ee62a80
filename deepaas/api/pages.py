"""The pages for browsers, and their static files: HTML and what lies in deepaas/web.

All addresses in a page are relative, so that a proxy may cut off a prefix.
"""

import html
import string
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web

from deepaas.api.paths import relative
from deepaas.api.routes import Access, Route, both
from deepaas.errors import NotFound

WEB = Path(__file__).resolve().parent.parent / "web"

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Swagger UI cannot take trusted types as well: it renders descriptions as HTML."""

COMMON_HEADERS = {
    "Cache-Control": "no-cache",  # it may be kept, and is asked for again by its ETag
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

PAGE_HEADERS = {
    **COMMON_HEADERS,
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Content-Type": "text/html; charset=utf-8",
}

_VENDORED = WEB / "vendor" / "swagger-ui-dist"

STATIC_FILES = {
    path.name: path
    for path in (
        WEB / "api.css",
        WEB / "api.js",
        _VENDORED / "favicon-32x32.png",
        _VENDORED / "swagger-ui-bundle.js",
        _VENDORED / "swagger-ui.css",
    )
}

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
}
"""Not guessed: the tables of systems differ, and with `nosniff` it must be right."""

STATIC = "/api/static/{name}"
"""The route of the static files, which hold no data of models."""

DOC_ENDPOINT_OFF = "The documentation pages are turned off (--nodoc-endpoint)."


class Pages:
    """The page of Swagger UI at /api, and /ui, which leads to it."""

    def __init__(self, base_path: str) -> None:
        self._base = base_path
        self._template = string.Template((WEB / "api.html").read_text("utf-8"))

    def routes(self) -> list[Route]:
        static = web.get(f"{self._base}{STATIC}", self.static)
        return [
            Route(static, Access.PUBLIC),
            *both(web.get, f"{self._base}/api", self.api, Access.PAGE),
            *both(web.get, f"{self._base}/ui", self.ui, Access.PAGE),
        ]

    async def api(self, request: web.Request) -> web.Response:
        static = relative(request, "static/")
        text = self._template.substitute(
            static=static, base_path=html.escape(self._base)
        )
        return web.Response(body=text.encode(), headers=PAGE_HEADERS)

    async def ui(self, request: web.Request) -> web.Response:
        """Redirect to /api."""
        path = request.rel_url.raw_path
        slashes = len(path) - len(path.rstrip("/"))
        raise web.HTTPFound(f"{'../' * slashes}api")

    async def static(self, request: web.Request) -> web.FileResponse:
        name = request.match_info["name"]
        path = STATIC_FILES.get(name)
        if path is None:
            raise NotFound(f"There is no file {name!r}.")
        headers: Mapping[str, str] = {
            **COMMON_HEADERS,
            "Content-Type": CONTENT_TYPES[path.suffix],
        }
        return web.FileResponse(path, headers=headers)


def absent_pages(base_path: str) -> list[Route]:
    """Return routes in place of the pages; their answers name the option."""
    return [
        route
        for path in ("/api", "/ui")
        for route in both(web.get, base_path + path, _refuse, Access.PAGE)
    ]


async def _refuse(request: web.Request) -> web.Response:
    raise NotFound(DOC_ENDPOINT_OFF)
