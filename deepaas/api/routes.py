"""Routes: each has its access and its form of errors."""

import enum
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import mimeparse
from aiohttp import web
from aiohttp.web_urldispatcher import AbstractResource

from deepaas.errors import DeepaasError, InvalidArguments

MODEL = "{model:[^/]+}"
"""A model's name in the pattern of a route: aiohttp's own would refuse `{` and `}`."""


MAX_MESSAGES = 20
"""Messages on arguments that one error of the Open Inference Protocol holds."""


class Access(enum.Enum):
    """The callers of a route, on a server that asks for tokens."""

    TOKEN = "token"
    """Callers with a token."""
    PAGE = "page"
    """The same; a browser, which cannot send a token when it opens a page, sends it as
    the password of HTTP Basic."""
    HOME = "home"
    """Callers with a token, and a browser without one, which is sent to the page."""
    PUBLIC = "public"
    """All callers."""


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


@dataclass(frozen=True)
class Route:
    """A path, a method and a handler, and who may call it."""

    definition: web.RouteDef
    access: Access = Access.TOKEN
    error_body: "ErrorBody | None" = None
    """Its form of errors, where it is not that of its API."""


def both(
    method: Callable[..., web.RouteDef],
    path: str,
    handler: Any,
    access: Access = Access.TOKEN,
    error_body: "ErrorBody | None" = None,
) -> list[Route]:
    """Routes a path with and without its trailing slash: no client is redirected.

    Patterns are tried in order; most clients send the slash.
    """
    return [
        Route(method(f"{path}/", handler), access, error_body),
        Route(method(path, handler), access, error_body),
    ]


ErrorBody = Callable[[DeepaasError], Any]
"""Writes an error as the JSON value that callers of an API read."""


def message_body(error: DeepaasError) -> dict[str, Any]:
    """Writes an error as the DEEPaaS API does: a message, or messages by argument."""
    if isinstance(error, InvalidArguments):
        return dict(error.messages)
    return {"message": str(error)}


def error_body(error: DeepaasError) -> dict[str, Any]:
    """Writes an error as the Open Inference Protocol does."""
    return {"error": error_text(error)}


def shared_body(error: DeepaasError) -> dict[str, Any]:
    """Writes an error for the callers of both APIs."""
    return {**message_body(error), **error_body(error)}


def error_text(error: DeepaasError) -> str:
    """Returns the text of an error, with the messages by argument in one line."""
    if not isinstance(error, InvalidArguments):
        return str(error)
    lines = list(itertools.islice(_lines(error.messages, ""), MAX_MESSAGES + 1))
    if len(lines) > MAX_MESSAGES:
        lines[MAX_MESSAGES:] = ["..."]
    return "; ".join(lines)


def _lines(messages: Any, place: str) -> Iterator[str]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _lines(inner, f"{place}.{name}" if place else f"{name}")
    elif isinstance(messages, list):
        for inner in messages:
            yield from _lines(inner, place)
    else:
        yield f"{place}: {messages}"


@dataclass(frozen=True)
class Rule:
    """The access and the form of errors of all requests to a path."""

    access: Access = Access.TOKEN
    error_body: ErrorBody = message_body


_RULES = web.AppKey("rules", dict[AbstractResource, Rule])

_OTHERWISE = Rule()
"""The rule of requests that no route takes."""

_BELOW = web.AppKey("below", list[tuple[str, Rule]])
"""Rules of such requests, by the beginning of their path."""


def find_rule(request: web.Request) -> Rule:
    """Returns the rule of the route that takes a request."""
    resource = request.match_info.route.resource
    if resource is None:
        path = re.sub("/{2,}", "/", request.path)
        below = request.app[_BELOW]
        return next(
            (rule for start, rule in below if path.startswith(start)), _OTHERWISE
        )
    return request.app[_RULES].get(resource, _OTHERWISE)


class Routes:
    """The routes of an application.

    `expect_handler` is called for a request with the header Expect, in place of
    aiohttp's own.
    """

    def __init__(
        self, expect_handler: Callable[[web.Request], Any] | None = None
    ) -> None:
        self._expect_handler = expect_handler
        self._routes: list[tuple[Route, ErrorBody]] = []
        self._below: list[tuple[str, Rule]] = []

    def add(
        self, routes: Iterable[Route], *, error_body: ErrorBody = message_body
    ) -> None:
        """Adds the routes of one API, whose errors `error_body` writes."""
        self._routes += [(route, error_body) for route in routes]

    def add_below(self, start: str, error_body: ErrorBody) -> None:
        """Sets the form of errors of requests that no route takes.

        It is that of paths that begin with `start`.
        """
        self._below.append((start, Rule(error_body=error_body)))

    def register(self, app: web.Application) -> None:
        """Gives an application the routes, in the order in which they were added.

        Raises ValueError for two routes with one path that differ in their rule.
        """
        rules = app[_RULES] = {}
        app[_BELOW] = self._below
        for route, error_body in self._routes:
            definition = route.definition
            if self._expect_handler is not None:
                definition.kwargs["expect_handler"] = self._expect_handler
            rule = Rule(route.access, route.error_body or error_body)
            for registered in definition.register(app.router):
                resource = registered.resource
                assert resource is not None
                if rules.setdefault(resource, rule) != rule:
                    raise ValueError(f"{definition.path} has two rules")
