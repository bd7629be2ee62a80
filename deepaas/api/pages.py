"""The pages for browsers, and their static files: HTML and what lies in deepaas/web.

All addresses in a page are relative, so that a proxy may cut off a prefix.
"""

import html
import string
from collections.abc import Mapping
from pathlib import Path

import mimeparse
from aiohttp import web

from deepaas.api.paths import relative
from deepaas.api.responses import both, may_compress
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

UI_CONTENT_SECURITY_POLICY = "; ".join(
    (
        CONTENT_SECURITY_POLICY,
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
"""Our own page never makes elements or code of text."""

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

UI_HEADERS = {
    **PAGE_HEADERS,
    "Content-Security-Policy": UI_CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self)",
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

UI_FILES = {
    f"{place}/{path.name}": path
    for place, folder in (
        ("static", WEB / "static"),
        ("vendor", WEB / "vendor" / "uplot" / "dist"),
    )
    for path in folder.iterdir()
    if path.suffix != ".gz"  # aiohttp sends it in place of what it is packed from
}
"""The files of /ui/ by their places below it: static/main.js, vendor/uPlot.min.css."""

PACKED = {
    path
    for path in (*STATIC_FILES.values(), *UI_FILES.values())
    if Path(f"{path}.gz").exists()
}

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
"""Not guessed: the tables of systems differ, and with `nosniff` it must be right."""

STATIC = "/api/static/{name}"
"""The route of the static files, which hold no data of models."""

UI_STATIC = "/ui/{folder:static|vendor}/{name}"

PUBLIC = (STATIC, "/ui", UI_STATIC.replace(":static|vendor", ""))
"""Routes that need no token: what they answer with is the same everywhere."""

DOC_ENDPOINT_OFF = "The documentation pages are turned off (--nodoc-endpoint)."


class Pages:
    """The page of Swagger UI at /api, and the page to try models at /ui/."""

    def __init__(self, base_path: str) -> None:
        self._base = base_path
        self._template = string.Template((WEB / "api.html").read_text("utf-8"))
        self._ui = (WEB / "index.html").read_bytes()

    def routes(self) -> list[web.AbstractRouteDef]:
        return [
            web.get(f"{self._base}{STATIC}", self.static),
            web.get(f"{self._base}{UI_STATIC}", self.ui_static),
            *both(web.get, f"{self._base}/api", self.api),
            *both(web.get, f"{self._base}/ui", self.ui),
        ]

    async def api(self, request: web.Request) -> web.Response:
        static = relative(request, "static/")
        text = self._template.substitute(
            static=static, base_path=html.escape(self._base)
        )
        return web.Response(body=text.encode(), headers=PAGE_HEADERS)

    async def ui(self, request: web.Request) -> web.Response:
        """Answer with the page, at the one address to which its links are relative."""
        path = request.rel_url.raw_path
        slashes = len(path) - len(path.rstrip("/"))
        if slashes == 0:
            raise web.HTTPPermanentRedirect(relative(request, ""))
        if slashes > 1:
            raise web.HTTPPermanentRedirect("../" * (slashes - 1))
        return web.Response(body=self._ui, headers=UI_HEADERS)

    async def static(self, request: web.Request) -> web.FileResponse:
        return _send_file(request, STATIC_FILES, request.match_info["name"])

    async def ui_static(self, request: web.Request) -> web.FileResponse:
        folder, name = request.match_info["folder"], request.match_info["name"]
        return _send_file(request, UI_FILES, f"{folder}/{name}")


def _send_file(
    request: web.Request, files: Mapping[str, Path], name: str
) -> web.FileResponse:
    """Answer with one of these files. Raises NotFound for another name."""
    path = files.get(name)
    if path is None:
        raise NotFound(f"There is no file {name!r}.")
    content_type = CONTENT_TYPES[path.suffix]
    headers = {**COMMON_HEADERS, "Content-Type": content_type}
    response = web.FileResponse(path, headers=headers)
    # aiohttp sends the packed copy by itself where there is one.
    if path not in PACKED and may_compress(request, response, path.stat().st_size):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def opens_page(request: web.Request) -> bool:
    """Tell whether a browser asks for a page: it prefers HTML to JSON."""
    accept = request.headers.get("Accept", "")
    if "html" not in accept:
        return False
    try:
        best = mimeparse.best_match(["text/html", "application/json"], accept)
    except mimeparse.MimeTypeParseException:
        return False
    return bool(best == "text/html")


def absent_pages(base_path: str) -> list[web.AbstractRouteDef]:
    """Return routes in place of the pages; their answers name the option."""
    return [
        route
        for path in ("/api", "/ui", UI_STATIC)
        for route in both(web.get, base_path + path, _refuse)
    ]


async def _refuse(request: web.Request) -> web.Response:
    raise NotFound(DOC_ENDPOINT_OFF)
