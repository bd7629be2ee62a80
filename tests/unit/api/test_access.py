"""The client's address of a request that a proxy has forwarded."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deepaas.api.access import trust_proxies
from deepaas.api.context import CONTEXT, RequestContext


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.1:555", "192.0.2.1"),
        ("[2001:db8::1]:555", "2001:db8::1"),
        ("::ffff:192.0.2.1, ::ffff:127.0.0.1", "192.0.2.1"),
        ("192.0.2.1, 127.0.0.1:80", "192.0.2.1"),
        ("nobody", "127.0.0.1"),
    ],
)
async def test_how_proxies_write_addresses(forwarded, client):
    """The server listens on IPv6 as well, where IPv4 has a form of its own."""
    for trusted in ("127.0.0.1", "::ffff:127.0.0.1"):
        seen = await _client_behind(trusted, forwarded)
        assert seen == ipaddress.ip_address(client)


async def _client_behind(trusted: str, forwarded: str):
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request[CONTEXT].client or request.remote)

    class Transport(asyncio.Transport):
        def get_extra_info(self, name, default=None):
            return ("::ffff:127.0.0.1", 1, 0, 0) if name == "peername" else default

    headers = {"X-Forwarded-For": forwarded}
    transport = Transport()
    request = make_mocked_request("GET", "/", headers=headers, transport=transport)
    request[CONTEXT] = RequestContext("r")
    answer = await trust_proxies([trusted])(request, handler)
    address = ipaddress.ip_address(answer.text)
    return getattr(address, "ipv4_mapped", None) or address
