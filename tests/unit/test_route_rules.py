"""A route says who may call it, and its API how errors are written."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from deepaas.api.access import Tokens, authenticate, expect_later
from deepaas.api.middleware import answer
from deepaas.api.routes import Access, Route, Routes, both
from deepaas.errors import DeepaasError, InvalidArguments


async def fine(request: web.Request) -> web.Response:
    return web.Response(text="fine")


async def busy(request: web.Request) -> web.Response:
    raise DeepaasError("busy", status=503, headers={"Retry-After": "1"})


async def wrong(request: web.Request) -> web.Response:
    raise InvalidArguments({"n": ["Not a number."]})


async def broken(request: web.Request) -> web.Response:
    raise ZeroDivisionError


def ask(app: web.Application, *requests: tuple[str, str, dict[str, str]]):
    """Returns status and text of the answers to requests: method, path, headers."""

    async def scenario():
        server = TestServer(app, host="127.0.0.1")
        async with TestClient(server) as client:
            answers = []
            for method, path, headers in requests:
                async with client.request(method, path, headers=headers) as response:
                    answers.append((response.status, await response.text()))
            return answers

    return asyncio.run(scenario())


def test_each_api_writes_its_errors():
    routes = Routes()
    handlers = {"fine": fine, "busy": busy, "wrong": wrong, "broken": broken}
    for name, handler in handlers.items():
        routes.add(both(web.get, f"/one/{name}", handler))
        routes.add(
            both(web.get, f"/two/{name}", handler),
            error_body=lambda error: {"error": str(error)},
        )
    app = web.Application(middlewares=[answer])
    routes.register(app)
    paths = [f"/{api}/{name}/" for name in handlers for api in ("one", "two")]
    answers = ask(app, *(("GET", path, {}) for path in [*paths, "/two/none"]))
    assert answers == [
        (200, "fine"),
        (200, "fine"),
        (503, '{"message":"busy"}'),
        (503, '{"error":"busy"}'),
        (422, '{"n":["Not a number."]}'),
        (422, '{"error":"Invalid arguments."}'),
        (500, '{"message":"The server failed; see its log."}'),
        (500, '{"error":"The server failed; see its log."}'),
        (404, '{"message":"There is nothing at /two/none."}'),
    ]


def test_each_route_says_who_may_call_it(tmp_path):
    file = tmp_path / "tokens"
    file.write_text("secret")
    routes = Routes(expect_handler=expect_later)
    for access in Access:
        routes.add(both(web.get, f"/{access.value}", fine, access))
    routes.add([Route(web.get("/single", fine))])
    app = web.Application(middlewares=[answer, authenticate(Tokens(file), cors=False)])
    routes.register(app)
    statuses = {
        "": [401, 401, 200, 401, 401],
        "Basic OnNlY3JldA==": [401, 200, 200, 401, 401],
        "Bearer secret": [200, 200, 200, 200, 404],
    }
    requests = [
        (method, f"/{name}", {"Authorization": authorization})
        for authorization in statuses
        for method in ("GET", "HEAD")
        for name in ("token", "page", "public", "single", "none")
    ]
    answers = [status for status, _ in ask(app, *requests)]
    assert answers == [one for each in statuses.values() for one in [*each, *each]]


def test_two_rules_for_one_path():
    routes = Routes()
    routes.add([Route(web.get("/a", fine)), Route(web.post("/a", fine), Access.PUBLIC)])
    with pytest.raises(ValueError, match="/a has two rules"):
        routes.register(web.Application())
