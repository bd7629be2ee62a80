"""Reads values by argument from a request, and lists the ignored names."""

import asyncio
import difflib
import itertools
from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import quote

from aiohttp import web
from marshmallow import missing

from deepaas.api.context import IGNORED
from deepaas.api.requests.bodies import (
    MAX_UNTHREADED_BYTES,
    NO_BODY,
    Body,
    read_body,
)
from deepaas.api.requests.texts import JSONPart, decode_json
from deepaas.api.requests.uploads import Uploads
from deepaas.arguments import Argument
from deepaas.arguments.outcome import Values
from deepaas.config import Settings
from deepaas.errors import InvalidArguments, UnsupportedMediaType
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.served import ServedArguments

MAX_IGNORED_NAMES = 20
"""Most names of ignored arguments that an answer lists."""

MAX_IGNORED_CHARS = 60
"""Most characters of each of these names."""

MAX_HEADER_CHARS = 2000
"""Most characters of the header; a character of a name may take twelve."""

_SAFE = "!$'()*+/:@[]~"
"""Characters that are not encoded in names, beside letters, digits and `_.-`."""

_PLACES = {
    "query": "the query",
    "form": "a form",
    "json": "a JSON body",
    "headers": "a header",
    "cookies": "a cookie",
}


class Parsing(AbstractAsyncContextManager[Values]):
    """The values of a request; its files are removed at the end.

    Raises BadBody, BodyTooLarge, InvalidArguments, NoSpace, UnsupportedMediaType.
    """

    def __init__(
        self, request: web.Request, arguments: ServedArguments, settings: Settings
    ) -> None:
        self._request = request
        self._arguments = arguments
        self._settings = settings
        self._uploads = Uploads()

    async def __aenter__(self) -> Values:
        try:
            return await self._read()
        except BaseException:
            await self._uploads.remove()
            raise

    async def __aexit__(self, *error: object) -> None:
        if self._uploads.files:
            await self._uploads.remove()

    async def _read(self) -> Values:
        body = NO_BODY
        if self._request.can_read_body:
            body = await read_body(
                self._request,
                self._settings.client_max_size,
                self._arguments.by_name,
                self._uploads,
            )
        if body.size > MAX_UNTHREADED_BYTES:
            return await asyncio.to_thread(self._collect, body)
        return self._collect(body)

    def _collect(self, body: Body) -> Values:
        """Return the values of a request, and messages on those that are refused."""
        request, arguments = self._request, self._arguments
        sources: dict[str, Mapping[str, Any]] = {
            "query": request.query,
            "form": body.form,
            "json": body.json,
            "headers": request.headers,
        }
        if arguments.takes_cookies:
            sources["cookies"] = request.cookies
        problems: Mapping[str, Any] = {}
        if ignored := _ignored(arguments, sources, body):
            request[IGNORED] = _header(ignored)
            if self._settings.strict_arguments:
                problems = _refuse(ignored, arguments)
        try:
            values = _find(arguments, sources, body, request)
        except InvalidArguments as error:
            messages = {**problems, **error.messages}
            raise InvalidArguments(messages, status=error.status) from error
        accept = ""
        if arguments.negotiation is not None:
            accept = ",".join(request.headers.getall("Accept", ()))
        return Values(values, accept, problems, body.size > MAX_UNTHREADED_BYTES)


def _find(
    arguments: ServedArguments,
    sources: Mapping[str, Mapping[str, Any]],
    body: Body,
    request: web.Request,
) -> dict[str, Any]:
    values = {}
    for argument in arguments.items:
        for location in argument.locations:
            value = _take(argument, sources[location])
            if value is not missing and location != "json":
                value = _read_text(argument, value)
            if value is not missing:
                values[argument.name] = value
                break
        else:
            if not body.known and argument.in_body:
                _need_body(argument, request)
    return values


def _need_body(argument: Argument, request: web.Request) -> None:
    if argument.attribute != "accept":
        raise UnsupportedMediaType(
            f"{argument.name!r} was not found, and a body of type "
            f"{request.content_type} cannot be read: send multipart/form-data, "
            "application/x-www-form-urlencoded or application/json."
        )


# -- one value


def _take(argument: Argument, source: Any) -> Any:
    """Return a value, `missing`, or a list for an argument that takes one."""
    name = argument.name
    if not argument.is_list:
        return source.get(name, missing)
    keys = [key for key in (name, f"{name}[]") if key in source]
    if not keys:
        return missing
    if not hasattr(source, "getall"):  # JSON, or cookies
        value = source[keys[0]]
        is_whole = value is None or isinstance(value, list) or not argument.multiple
        return value if is_whole else [value]
    if not argument.multiple and keys[0] == name:
        return source[name]
    values = [value for key in keys for value in source.getall(key)]
    return values if argument.multiple or len(values) > 1 else values[0]


def _read_text(argument: Argument, value: Any) -> Any:
    """Read the JSON texts among values that are texts, and refuse texts for files."""
    if argument.is_file:
        return _files(argument, value)
    if argument.is_list:
        values = value if isinstance(value, list) else [value]
        if len(values) == 1 and (whole := _whole_list(argument, values[0])) is not None:
            return whole
        if argument.multiple:
            return [_read_one(argument, one) for one in values]
    return _read_one(argument, value)


def _read_one(argument: Argument, value: Any) -> Any:
    if argument.structured or type(value) is JSONPart:
        return _from_json(value)
    return value


def _files(argument: Argument, value: Any) -> Any:
    """Leave out the empty texts that forms have in place of a file."""
    values = value if isinstance(value, list) else [value]
    files = [one for one in values if one != ""]
    if not all(isinstance(one, UploadedFile) for one in files):
        raise InvalidArguments({argument.name: ["Not a file."]})
    if not files:
        return missing
    return files if argument.multiple else files[0]


def _whole_list(argument: Argument, text: Any) -> list[Any] | None:
    """Read a list that is one JSON text; None for the text of a single item."""
    if not isinstance(text, str) or text.lstrip()[:1] != "[":
        return None
    value = _from_json(text)
    if not isinstance(value, list):
        return None
    if argument.lists_arrays and not all(isinstance(one, list) for one in value):
        return None
    return value


def _from_json(text: Any) -> Any:
    try:
        return decode_json(text)
    except (ValueError, TypeError, RecursionError):
        return text  # its field reports the fault


# -- ignored names


def _ignored(
    arguments: ServedArguments, sources: Mapping[str, Mapping[str, Any]], body: Body
) -> Mapping[str, str]:
    """Return the names that no argument takes, with their locations.

    An argument's name in a location where the argument is not looked for is ignored
    too, unless the argument was found elsewhere.
    """
    ignored: dict[str, str] = dict.fromkeys(body.dropped, "form")
    for location in ("query", "form", "json"):
        for name in sources[location]:
            argument = arguments.by_name.get(name)
            places = () if argument is None else argument.locations
            if location not in places and not any(name in sources[p] for p in places):
                ignored[name] = location
    return ignored


def _header(names: Iterable[str]) -> str:
    """Write names as a list that is safe in a header and in a log."""
    shown: list[str] = []
    left = MAX_HEADER_CHARS
    for name in names:
        text = quote(_shortened(name), safe=_SAFE, errors="replace")
        left -= len(text)
        if left < 0 or len(shown) == MAX_IGNORED_NAMES:
            return ", ".join([*shown, "..."])
        shown.append(text)
    return ", ".join(shown)


def _shortened(name: str) -> str:
    if len(name) <= MAX_IGNORED_CHARS:
        return name
    return f"{name[:MAX_IGNORED_CHARS]}..."


def _refuse(
    ignored: Mapping[str, str], arguments: ServedArguments
) -> dict[str, list[str]]:
    """Return the messages of --strict-arguments, by name."""
    known = [item.name for item in arguments.items]
    messages = {}
    for name, location in itertools.islice(ignored.items(), MAX_IGNORED_NAMES):
        shown = _shortened(name)
        if (argument := arguments.by_name.get(name)) is not None:
            places = " or ".join(_PLACES[place] for place in argument.locations)
            message = f"Not looked for in {_PLACES[location]}, but in {places}."
        elif nearest := difflib.get_close_matches(shown, known, n=1):
            message = f"Unknown argument; did you mean {nearest[0]!r}?"
        else:
            message = "Unknown argument."
        messages[shown] = [message]
    return messages
