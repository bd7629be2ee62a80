"""The pages for browsers, and their static files: HTML and what lies in deepaas/web.

All addresses in a page are relative, so that a proxy may cut off a prefix.
"""

import asyncio
import functools
import gzip
import hashlib
import html
import string
from collections.abc import Mapping
from pathlib import Path

from aiohttp import ETag, web

from deepaas.api.content_coding import may_compress
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

PACKED = ".gz"
"""The suffix of files that are kept packed only, and sent so where that is accepted."""


def _name(path: Path) -> str:
    """Return the name under which a file is served."""
    return path.name.removesuffix(PACKED)


_VENDORED = WEB / "vendor" / "swagger-ui-dist"

STATIC_FILES = {
    _name(path): path
    for path in (
        WEB / "api.css",
        WEB / "api.js",
        _VENDORED / "favicon-32x32.png",
        _VENDORED / "swagger-ui-bundle.js.gz",
        _VENDORED / "swagger-ui.css.gz",
    )
}
"""The files of /api by their names below /api/static/."""

UI_FILES = {
    f"{place}/{_name(path)}": path
    for place, folder in (
        ("static", WEB / "static"),
        ("vendor", WEB / "vendor" / "uplot" / "dist"),
    )
    for path in folder.iterdir()
}
"""The files of /ui/ by their places below it: static/main.js, vendor/uPlot.min.css."""

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


DOC_ENDPOINT_OFF = "The documentation pages are turned off (--nodoc-endpoint)."


class Pages:
    """The page of Swagger UI at /api, and the page to try models at /ui/."""

    def __init__(self, base_path: str) -> None:
        self._base = base_path
        self._template = string.Template((WEB / "api.html").read_text("utf-8"))
        self._ui = (WEB / "index.html").read_bytes()

    def routes(self) -> list[Route]:
        static = web.get(f"{self._base}{STATIC}", self.static)
        ui_static = web.get(f"{self._base}{UI_STATIC}", self.ui_static)
        return [
            Route(static, Access.PUBLIC),
            Route(ui_static, Access.PUBLIC),
            *both(web.get, f"{self._base}/api", self.api, Access.PAGE),
            *both(web.get, f"{self._base}/ui", self.ui, Access.PUBLIC),
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

    async def static(self, request: web.Request) -> web.Response:
        path = _find(STATIC_FILES, request.match_info["name"])
        return await _send(request, path)

    async def ui_static(self, request: web.Request) -> web.Response:
        folder, name = request.match_info["folder"], request.match_info["name"]
        return await _send(request, _find(UI_FILES, f"{folder}/{name}"))


def _find(files: Mapping[str, Path], name: str) -> Path:
    """Return the file of a name. Raises NotFound for one that is not listed."""
    try:
        return files[name]
    except KeyError:
        raise NotFound(f"There is no file {name!r}.") from None


@functools.cache
def _read(path: Path) -> tuple[bytes, str]:
    """Return a file as it is kept, and its hash; read once."""
    content = path.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]


async def _send(request: web.Request, path: Path) -> web.Response:
    """Answer with a static file; compress() packs what is not packed yet."""
    content, tag = await asyncio.to_thread(_read, path)
    headers = {
        **COMMON_HEADERS,
        "Content-Type": CONTENT_TYPES[Path(_name(path)).suffix],
    }
    if any(known.value == tag for known in request.if_none_match or ()):
        response = web.Response(status=304, headers=headers)
    else:
        response = web.Response(headers=headers)
        if path.suffix == PACKED:
            if may_compress(request, response, len(content)):
                response.headers["Content-Encoding"] = "gzip"
            else:
                content = await asyncio.to_thread(gzip.decompress, content)
        response.body = content
    response.etag = ETag(tag, is_weak=True)  # the same for other codings
    return response


def absent_pages(base_path: str) -> list[Route]:
    """Return routes in place of the pages; their answers name the option."""
    return [
        route
        for path in ("/api", "/ui", UI_STATIC)
        for route in both(web.get, base_path + path, _refuse, Access.PAGE)
    ]


async def _refuse(request: web.Request) -> web.Response:
    raise NotFound(DOC_ENDPOINT_OFF)
