"""From arguments in Python to a request: each goes where the document expects it."""

import json
import mimetypes
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum
from http.cookies import SimpleCookie
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from deepaas.encoding import encode_json
from deepaas.naming import did_you_mean

BINARY = "application/octet-stream"
DELIMITERS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}

Part: TypeAlias = tuple[str, tuple[str | None, Any, str]]
"""A part of a form: its name, and its filename, content and type."""


class File(NamedTuple):
    """A file that is sent from memory, or from an open file."""

    content: bytes | IO[bytes]
    name: str
    media_type: str = ""
    """The type; an empty text for that of the name's extension."""


class Place(NamedTuple):
    """The place where the server looks for an argument, and the form of its value."""

    location: str = "body"
    """`query`, `header`, `cookie` or `body`."""
    is_json: bool = False
    """The value is a JSON text."""
    delimiter: str = ""
    """The text between the values of a list; empty if its name is repeated."""
    is_file: bool = False


@dataclass(frozen=True)
class Request:
    """The parts of a request that hold the arguments, as httpx takes them."""

    params: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[Part] = ()
    content: bytes | None = None


class Description:
    """The arguments of one method of a model, from the OpenAPI document."""

    def __init__(self, operation: Mapping[str, Any]) -> None:
        body = operation.get("requestBody", {}).get("content", {})
        in_json = body.get("application/json", {}).get("schema", {})
        self._in_json = set(in_json.get("properties", {}))
        self.places = {
            parameter["name"]: _place_of_parameter(parameter)
            for parameter in operation.get("parameters", ())
            if parameter["name"] != "Prefer"
        }
        # A form says more of how a value is written than JSON, which needs no words.
        for kind in sorted(body, key=lambda kind: kind == "application/json"):
            form = body[kind]
            encodings = form.get("encoding", {})
            for name, schema in form["schema"].get("properties", {}).items():
                place = _place_in_form(schema, encodings.get(name, {}))
                self.places.setdefault(name, place)

    def unknown(self, arguments: Mapping[str, Any]) -> str:
        """Return a message on the arguments that there are not; empty for none."""
        return "; ".join(
            f"unknown argument {name!r}{did_you_mean(name, self.places)}"
            for name in arguments
            if name not in self.places
        )

    def request(self, arguments: Mapping[str, Any], opened: ExitStack) -> Request:
        """Put each argument in its place; `opened` closes the files.

        Raises OSError for a file that cannot be read.
        """
        headers: dict[str, str] = {}
        params: list[tuple[str, str]] = []
        cookies: list[str] = []
        body: dict[str, Any] = {}
        for name, value in arguments.items():
            place = self.places.get(name, Place())
            if place.location == "body":
                body[name] = value
            elif value is not None:
                texts = _texts(place, value)
                if place.location == "query":
                    params += [(name, text) for text in texts]
                elif place.location == "header":
                    headers[name] = ",".join(texts)
                else:
                    cookies.append(f"{name}={_quoted(','.join(texts))}")
        if cookies:
            headers["Cookie"] = "; ".join(cookies)
        if any(map(self._is_file, body, body.values())) or body.keys() - self._in_json:
            return Request(params, headers, files=self._parts(body, opened))
        if not body:
            return Request(params, headers)
        headers["Content-Type"] = "application/json"
        return Request(params, headers, content=encode_json(body))

    def _is_file(self, name: str, value: Any) -> bool:
        if self.places.get(name, Place()).is_file:
            return True
        values = value if isinstance(value, list | tuple) and value else [value]
        return isinstance(values[0], Path | bytes) or hasattr(values[0], "read")

    def _parts(self, body: Mapping[str, Any], opened: ExitStack) -> list[Part]:
        parts: list[Part] = []
        for name, value in body.items():
            place = self.places.get(name, Place())
            if value is None:
                continue
            if self._is_file(name, value):
                several = isinstance(value, list | tuple) and not isinstance(
                    value, File
                )
                for one in value if several else [value]:
                    parts.append((name, _file(name, one, opened)))
                continue
            kind = "application/json" if place.is_json else "text/plain; charset=utf-8"
            parts += [(name, (None, text, kind)) for text in _texts(place, value)]
        return parts


def _place_of_parameter(parameter: Mapping[str, Any]) -> Place:
    location = parameter["in"]
    if "content" in parameter:
        return Place(location, is_json=True)
    return Place(location, delimiter=_delimiter(parameter, parameter["schema"]))


def _place_in_form(schema: Mapping[str, Any], encoding: Mapping[str, Any]) -> Place:
    inner = schema.get("items", schema)
    return Place(
        is_json=encoding.get("contentType") == "application/json",
        delimiter=_delimiter(encoding, schema),
        is_file=isinstance(inner, dict) and inner.get("format") == "binary",
    )


def _delimiter(style: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if schema.get("type") != "array" or style.get("explode", True):
        return ""
    return DELIMITERS.get(style.get("style", "form"), ",")


def _texts(place: Place, value: Any) -> list[str]:
    """Return a value as the texts of a query or a form."""
    if place.is_json or isinstance(value, Mapping):
        return [_json(value)]
    if isinstance(value, list | tuple | set):
        texts = [_text(one) for one in value]
        return [place.delimiter.join(texts)] if place.delimiter else texts
    return [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Enum):
        return value.name
    text = _json(value)
    # A date is a text in JSON; as a part of a form it has no quotes.
    return str(json.loads(text)) if text[:1] == '"' else text


def _quoted(text: str) -> str:
    """Return the value of a cookie, in quotes if it needs them."""
    return SimpleCookie({"cookie": text})["cookie"].coded_value


def _json(value: Any) -> str:
    return encode_json(value).decode()


def _file(name: str, value: Any, opened: ExitStack) -> tuple[str, Any, str]:
    """Return a file as a part of a form."""
    if isinstance(value, str | os.PathLike):
        path = Path(value)
        value = File(opened.enter_context(path.open("rb")), path.name)
    elif not isinstance(value, File):
        found = getattr(value, "name", None)
        title = os.path.basename(found) if isinstance(found, str) else name
        value = File(value, title or name)
    kind = value.media_type or mimetypes.guess_type(value.name)[0] or BINARY
    return value.name, value.content, kind
