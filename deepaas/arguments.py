"""The arguments of a call: from fields to keyword arguments, uploads included."""

import asyncio
import json
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NoReturn

import marshmallow
from aiohttp import web
from marshmallow import EXCLUDE, missing
from marshmallow.fields import Field

from deepaas.bodies import (
    NO_BODY,
    SLOW,
    Body,
    Uploads,
    decode_json,
    read_body,
)
from deepaas.encoding import describe_json
from deepaas.errors import (
    InvalidArguments,
    UnsupportedMediaType,
    authors_errors_or_exit,
    named,
    text_of,
)
from deepaas.model.loading import is_field
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.negotiation import Negotiation

logger = logging.getLogger(__name__)

LOCATIONS = {
    "query": "query",
    "querystring": "query",
    "form": "form",
    "files": "form",
    "json": "json",
    "headers": "headers",
    "cookies": "cookies",
}
"""Where webargs lets an author say that a value is, and what we call it."""

EVERYWHERE = ("query", "form", "json")
"""Where a value may be whose author does not say, in this order."""

HIDDEN = "***"
"""What is shown of a secret."""

LONGEST_SHOWN = 10_000
"""Bytes of a value's JSON from which its size is shown in its place."""

DEEPEST_SHOWN = 100
"""Levels of a value's JSON above which it is not shown: an encoder takes 254, and a
job in a list has more of them than its arguments."""

SHOWN_OF_FILES = ("name", "content_type", "original_filename")


@dataclass(frozen=True)
class Argument:
    """One argument of a method, with what can be known of it at start."""

    name: str
    """The name that callers use."""
    attribute: str
    """The name that the model uses."""
    field: Field
    locations: tuple[str, ...]
    multiple: bool
    """It takes a list."""
    is_file: bool
    structured: bool
    """It takes an object, which is JSON text where a location holds text only."""

    @property
    def in_body(self) -> bool:
        return "form" in self.locations or "json" in self.locations


class Arguments:
    """The arguments of `predict` or `train`.

    `definition` is what the author's `get_..._args` returned. Raises TypeError or
    ValueError for what is no definition. The author's objects are never modified:
    marshmallow copies the fields of a schema for each of its instances.
    """

    def __init__(self, definition: Any) -> None:
        self.schema = _schema(definition)
        # A field may name another attribute, as a path even; that is the schema's work.
        self._own_schema = not isinstance(definition, Mapping) or any(
            field.attribute for field in self.schema.load_fields.values()
        )
        """It is an author's, who may have more in it than fields."""
        fields = self.schema.load_fields
        locations = {name: _locations(name, field) for name, field in fields.items()}
        if any("form" in where for where in locations.values() if where != EVERYWHERE):
            # A body is a form or JSON: beside a file, JSON values come in the form.
            for name, where in locations.items():
                if where == ("json",):
                    locations[name] = ("json", "form")
        self.negotiation = None
        if "accept" in fields:
            # Its header is negotiated; a plain value counts wherever it is.
            self.negotiation = Negotiation(fields["accept"])
            locations["accept"] = EVERYWHERE
        self.items = [
            _argument(name, field, locations[name]) for name, field in fields.items()
        ]
        self._by_name = {argument.name: argument for argument in self.items}
        self._takes_body = any(argument.in_body for argument in self.items)
        self._takes_cookies = any("cookies" in a.locations for a in self.items)

    def parse(
        self, request: web.Request, max_size: int
    ) -> AbstractAsyncContextManager[dict[str, Any]]:
        """Read the keyword arguments of a request; its files are gone at the end.

        `max_size` is that of the body, in bytes; 0 for no limit. Raises BadBody,
        BodyTooLarge, InvalidArguments, NotAcceptable, NoSpace, UnsupportedMediaType.
        """
        return _Parsing(self, request, max_size)

    async def read(
        self, request: web.Request, uploads: Uploads, max_size: int
    ) -> dict[str, Any]:
        """Read as `parse` does, with the files left to the caller."""
        body = NO_BODY
        if self._takes_body and request.can_read_body:
            body = await read_body(request, max_size, self._by_name, uploads)
        if body.size > SLOW:
            return await asyncio.to_thread(self._find, request, body)
        return self._find(request, body)

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Validate values by the callers' names; return them by the model's.

        Raises InvalidArguments.
        """
        try:
            loaded = self._load(values)
        except marshmallow.ValidationError as error:
            raise InvalidArguments(_by_argument(error)) from error
        except authors_errors_or_exit() as error:  # from the author's own fields
            self._blame(values, error)
        if self.negotiation is not None and "accept" in loaded:
            loaded["accept"] = self.negotiation.settle(loaded["accept"])
        return loaded

    def _load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the schema's `load` does: half of that is for schemas of authors."""
        if self._own_schema:
            loaded: dict[str, Any] = self.schema.load(values, unknown=EXCLUDE)
            return loaded
        loaded, errors = {}, {}
        for item in self.items:
            given = values.get(item.name, missing)
            try:
                value = item.field.deserialize(given, item.name, values)
            except marshmallow.ValidationError as error:
                errors[item.name] = error.messages
            else:
                if value is not missing:
                    loaded[item.attribute] = value
        if errors:
            raise marshmallow.ValidationError(errors)
        return loaded

    def show(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return loaded arguments as JSON values, by the callers' names.

        A file is shown without its place on disk, a `load_only` argument as `***`.
        """
        names = {
            argument.field.attribute or argument.attribute: argument.name
            for argument in self.items
        }
        shown = _show_fields(self.schema, kwargs)
        return {names.get(key, key): _bounded(v) for key, v in shown.items()}

    def accepted(self, kwargs: Mapping[str, Any]) -> str | None:
        """Return the media type that was negotiated, None where none was."""
        accept = kwargs.get("accept") if self.negotiation else None
        return accept if isinstance(accept, str) else None

    def negotiate(self, values: dict[str, Any], header: str = "") -> None:
        """Choose a media type by an Accept header if no value names one.

        Raises InvalidArguments or NotAcceptable.
        """
        if self.negotiation is None:
            return
        name = self.negotiation.name
        if values.get(name):
            self.negotiation.check(values[name])
            return
        values.pop(name, None)
        if (choice := self.negotiation.choose(header)) is not None:
            values[name] = choice

    def _blame(self, values: Mapping[str, Any], error: BaseException) -> NoReturn:
        """Find the argument whose value its field cannot cope with."""
        # Its text may hold the value, which may be a secret.
        logger.warning("A field or validator raised %s.", type(error).__name__)
        messages = {}
        for argument in self.items:
            try:
                argument.field.deserialize(
                    values.get(argument.name, missing),
                    argument.name,
                    values,
                )
            except authors_errors_or_exit() as broken:
                messages[argument.name] = [named(broken)]
        raise InvalidArguments(messages or {"_schema": [text_of(error)]}) from error

    def _find(self, request: web.Request, body: Body) -> dict[str, Any]:
        """Find the values of a request, and load them."""
        sources: dict[str, Mapping[str, Any]] = {
            "query": request.query,
            "form": body.form,
            "json": body.json,
            "headers": request.headers,
        }
        if self._takes_cookies:
            sources["cookies"] = request.cookies
        values = {}
        for argument in self.items:
            name = argument.name
            for location in argument.locations:
                if name in (source := sources[location]):
                    value = _take(argument, source)
                    if location != "json":
                        value = _check_text(argument, value)
                    values[name] = value
                    break
            else:
                if not body.known and argument.in_body:
                    _need_body(argument, request)
        if self.negotiation is not None:
            self.negotiate(values, ",".join(request.headers.getall("Accept", ())))
        return self.load(values)


class _Parsing(AbstractAsyncContextManager[dict[str, Any]]):
    """The arguments of a request, as long as its files are there."""

    def __init__(
        self, arguments: Arguments, request: web.Request, max_size: int
    ) -> None:
        self._arguments = arguments
        self._request = request
        self._max_size = max_size
        self._uploads = Uploads()

    async def __aenter__(self) -> dict[str, Any]:
        try:
            return await self._arguments.read(
                self._request, self._uploads, self._max_size
            )
        except BaseException:
            await self._uploads.remove()
            raise

    async def __aexit__(self, *error: object) -> None:
        if self._uploads.files:
            await self._uploads.remove()


def _by_argument(error: marshmallow.ValidationError) -> dict[str, Any]:
    messages = error.messages
    return messages if isinstance(messages, dict) else {"_schema": messages}


def _schema(definition: Any) -> marshmallow.Schema:
    if isinstance(definition, marshmallow.Schema):
        return definition
    if isinstance(definition, type) and issubclass(definition, marshmallow.Schema):
        return definition()
    if not isinstance(definition, Mapping):
        raise TypeError(
            "must return a dict of fields or a marshmallow Schema, "
            f"not a {type(definition).__name__}"
        )
    for name, value in definition.items():
        if name == "Meta":
            raise ValueError("no argument can be named 'Meta': marshmallow takes it")
        if not (isinstance(name, str) and is_field(value)):
            raise TypeError(f"argument {name!r} is no marshmallow field: {value!r}")
    fields = {
        name: value() if isinstance(value, type) else value
        for name, value in definition.items()
    }
    return marshmallow.Schema.from_dict(fields, name="Arguments")()


def _locations(name: str, field: Field) -> tuple[str, ...]:
    location = field.metadata.get("location")
    if location is None:
        return ("form",) if _takes_file(field) else EVERYWHERE
    if location not in LOCATIONS:
        raise ValueError(f"argument {name!r} has an unknown location: {location!r}")
    return (LOCATIONS[location],)


def _argument(attribute: str, field: Field, locations: tuple[str, ...]) -> Argument:
    inner = field.inner if isinstance(field, marshmallow.fields.List) else field
    return Argument(
        name=field.data_key or attribute,
        attribute=attribute,
        field=field,
        locations=locations,
        multiple=_takes_list(field),
        is_file=_takes_file(field),
        structured=isinstance(
            inner,
            marshmallow.fields.Nested
            | marshmallow.fields.Mapping
            | marshmallow.fields.Tuple,
        ),
    )


def _takes_list(field: Field) -> bool:
    """Tell whether a value may be repeated: not that of webargs' DelimitedList."""
    return isinstance(field, marshmallow.fields.List) and not hasattr(
        field, "delimiter"
    )


def _takes_file(field: Field) -> bool:
    inner = getattr(field, "inner", field)
    return "file" in (field.metadata.get("type"), inner.metadata.get("type"))


# -- what is shown of a job's arguments


def _show_fields(schema: marshmallow.Schema, values: Mapping[str, Any]) -> Any:
    fields = {
        field.attribute or name: field for name, field in schema.load_fields.items()
    }
    shown = {}
    for key, value in values.items():
        if key not in fields and any(field.load_only for field in fields.values()):
            shown[str(key)] = HIDDEN  # a post_load's, who knows of what
        else:
            shown[str(key)] = _show(fields.get(key), value)
    return shown


def _bounded(shown: Any) -> Any:
    size = len(describe_json(shown))
    if size > LONGEST_SHOWN:
        return f"({size} bytes of JSON)"
    deep = _is_deeper(shown, DEEPEST_SHOWN)
    return f"(JSON of more than {DEEPEST_SHOWN} levels)" if deep else shown


def _is_deeper(value: Any, levels: int) -> bool:
    """Tell whether a JSON value has more levels of objects and arrays than that."""
    if not isinstance(value, dict | list):
        return False
    items = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in items)


def _show(field: Field | None, value: Any) -> Any:
    if field is not None and field.load_only:
        return HIDDEN
    if isinstance(value, UploadedFile):
        return {key: getattr(value, key) for key in SHOWN_OF_FILES}
    if isinstance(field, marshmallow.fields.Nested) and isinstance(value, Mapping):
        return _show_fields(field.schema, value)
    if isinstance(field, marshmallow.fields.Tuple) and isinstance(value, tuple):
        return [_show(*pair) for pair in zip(field.tuple_fields, value, strict=True)]
    inner = getattr(field, "inner", field)
    if isinstance(value, list) and (_may_hide(inner) or _are_files(value)):
        return [_show(inner, item) for item in value]
    inner = getattr(field, "value_field", None)
    if isinstance(value, Mapping) and _may_hide(inner):
        return {str(key): _show(inner, item) for key, item in value.items()}
    if isinstance(field, marshmallow.fields.Nested) and value is not None:
        return f"<{type(value).__name__}>"  # a post_load's; it may hold a secret
    return json.loads(describe_json(value))


def _may_hide(field: Field | None) -> bool:
    containers = (
        marshmallow.fields.Nested,
        marshmallow.fields.List,
        marshmallow.fields.Tuple,
        marshmallow.fields.Mapping,
    )
    return field is not None and (field.load_only or isinstance(field, containers))


def _are_files(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], UploadedFile)


# -- one value


def _need_body(argument: Argument, request: web.Request) -> None:
    if argument.attribute != "accept":
        raise UnsupportedMediaType(
            f"{argument.name!r} was not found, and a body of type "
            f"{request.content_type} cannot be read: send multipart/form-data, "
            "application/x-www-form-urlencoded or application/json."
        )


def _take(argument: Argument, source: Any) -> Any:
    """Take a value, in a list for an argument that takes one."""
    if not argument.multiple:
        return source[argument.name]
    if hasattr(source, "getall"):
        return source.getall(argument.name)
    value = source[argument.name]
    return value if value is None or isinstance(value, list) else [value]


def _check_text(argument: Argument, value: Any) -> Any:
    """Read JSON text where an object is expected, and refuse text for a file."""
    values = value if argument.multiple else [value]
    if argument.is_file and not all(isinstance(v, UploadedFile) for v in values):
        raise InvalidArguments({argument.name: ["Not a file."]})
    if argument.structured:
        values = [_from_json(v) for v in values]
        return values if argument.multiple else values[0]
    return value


def _from_json(text: Any) -> Any:
    try:
        return decode_json(text)
    except (ValueError, TypeError, RecursionError):
        return text  # its field says what is wrong with it
