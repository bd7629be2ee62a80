"""Access: tokens, pages of other origins, and addresses that proxies forward."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import logging
import re
from collections.abc import Sequence
from pathlib import Path

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Middleware

from deepaas.api.context import CONTEXT, Handler
from deepaas.api.routes import Access, find_rule, opens_page
from deepaas.errors import StartError, Unauthorized

logger = logging.getLogger(__name__)

EXPOSED = (
    "Content-Disposition",
    "Inference-Header-Content-Length",
    "Location",
    "Preference-Applied",
    "Retry-After",
    "X-Ignored-Arguments",
    "X-Request-ID",
)
"""Headers of ours that a page of another origin may read."""

WITH_PORT = re.compile(r"\[([^]]*)\](?::\d+)?|([\d.]+):\d+")
"""An address as some proxies write it: 192.0.2.1:555 or [2001:db8::1]:555."""

SANE_PREFIX = re.compile(r"(/[A-Za-z0-9._~%-]+)*")


class Tokens:
    """The tokens of a file, one a line; any of them lets a caller in."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._hashes = self._read()

    def __contains__(self, token: str) -> bool:
        given = _hash(token)
        # Each token is compared in constant time: the duration reveals nothing.
        return sum(hmac.compare_digest(given, known) for known in self._hashes) > 0

    def reload(self) -> None:
        """Read the file again; if that fails, keep the tokens."""
        try:
            self._hashes = self._read()
        except StartError as error:
            logger.error("The tokens stay as they are: %s", error)
        else:
            logger.info("%d tokens were read.", len(self._hashes))

    def _read(self) -> list[bytes]:
        """Read the file. Raises StartError, also for one without a token."""
        try:
            lines = Path(self._path).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise StartError(
                f"--auth-token-file {self._path} cannot be read: {reason}"
            ) from error
        hashes = [_hash(line.strip()) for line in lines if line.strip()]
        if not hashes:
            raise StartError(f"--auth-token-file {self._path} holds no token")
        return hashes


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def authenticate(tokens: Tokens, *, cors: bool) -> Middleware:
    """Return the middleware that lets in callers with a token (RFC 6750).

    Each route says whether it needs one. With `cors`, a preflight request needs none.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        access = find_rule(request).access
        preflight = request.method == "OPTIONS" and "Origin" in request.headers
        is_public = (
            access is Access.PUBLIC
            or (access is Access.HOME and opens_page(request))
            or (cors and preflight)
        )
        is_page = access is Access.PAGE
        if not is_public and _token(request, basic=is_page) not in tokens:
            scheme = "Basic" if is_page else "Bearer"
            raise Unauthorized(
                "A token is needed: `Authorization: Bearer ...`.",
                headers={"WWW-Authenticate": f'{scheme} realm="deepaas"'},
            )
        await _continue(request)
        return await handler(request)

    return middleware


async def expect_later(request: web.Request) -> None:
    """Leave `Expect` to `authenticate`: only accepted callers are asked for a body."""


async def _continue(request: web.Request) -> None:
    """Answer `Expect` as aiohttp does before any middleware (RFC 9110, 10.1.1)."""
    expected = request.headers.get("Expect")
    if expected is None or request.version < HttpVersion11:
        return
    if expected.lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun


def _token(request: web.Request, *, basic: bool) -> str:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeError, ValueError):
            return ""
    return ""


def allow_origins(app: web.Application, origins: Sequence[str]) -> None:
    """Let pages of these origins call the routes added so far; `*` means any origin."""
    import aiohttp_cors

    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_credentials=False,
        allow_headers="*",
        allow_methods="*",
        expose_headers=EXPOSED,
        max_age=600,
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(origins, options))
    for resource in list(app.router.resources()):
        if not isinstance(resource, web.StaticResource):
            cors.add(resource)
            for route in list(resource):
                cors.add(route)


def trust_proxies(trusted: Sequence[str]) -> Middleware:
    """Return the middleware that trusts `X-Forwarded-*` headers of these addresses.

    Raises StartError for a text that is not an address or a network.
    """
    try:
        networks = [_network(text) for text in trusted]
    except ValueError as error:
        raise StartError(f"--trusted-proxy: {error}") from error

    def is_trusted(text: str | None) -> bool:
        address = _address(text or "")
        return address is not None and any(address in network for network in networks)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_trusted(request.remote):
            # Each proxy appends its caller: the last untrusted address is the caller.
            hops = ",".join(request.headers.getall("X-Forwarded-For", ())).split(",")
            strangers = [hop.strip() for hop in hops if not is_trusted(hop.strip())]
            if strangers and (client := _address(strangers[-1])) is not None:
                request[CONTEXT].client = str(client)
            prefix = request.headers.get("X-Forwarded-Prefix", "").rstrip("/")
            if SANE_PREFIX.fullmatch(prefix):
                request[CONTEXT].prefix = prefix
        return await handler(request)

    return middleware


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Read an address or a network. Raises ValueError."""
    address = _address(text)
    return ipaddress.ip_network(text if address is None else address, strict=False)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Read an address, with or without a port; mapped to IPv4 where it can be."""
    host = WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address(text if host is None else host[1] or host[2])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
