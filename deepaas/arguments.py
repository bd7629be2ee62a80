"""The arguments of a call: from fields to keyword arguments, uploads included."""

import asyncio
import codecs
import contextlib
import json
import logging
import os
import re
import tempfile
import urllib.parse
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import marshmallow
from aiohttp import StreamReader, web
from marshmallow.fields import Field
from multidict import MultiDict
from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from deepaas.encoding import describe_json
from deepaas.errors import (
    BadBody,
    BodyTooLarge,
    InvalidArguments,
    UnsupportedMediaType,
    authors_errors_or_exit,
    disk_errors,
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

MAX_PARTS = 1000
"""Parts of a form, at the most."""

CODINGS = {"gzip": 31, "deflate": 15}
"""What a body may be packed with, and zlib's word for it."""

UNPACKED = 65536
"""Bytes of a packed body that are unpacked at once."""

NO_CHARSETS = ("idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape")
"""What Python can decode and nobody writes texts in; some take quadratic time."""

MAX_FIELDS = 100_000
"""Fields of a form that is no multipart, at the most."""

MAX_TEXT = 32 * 1024 * 1024
"""Bytes of a JSON body or of all the text in a form, which are held in memory."""

PATIENCE = 60.0
"""Seconds that a body may pause."""

HIDDEN = "***"
"""What is shown of a secret."""

LONGEST_SHOWN = 10_000
"""Bytes of a value's JSON from which its size is shown in its place."""

DEEPEST_SHOWN = 100
"""Levels of a value's JSON above which it is not shown: an encoder takes 254, and a
job in a list has more of them than its arguments."""

SHOWN_OF_FILES = ("name", "content_type", "original_filename")

FRAMING = 65536
"""Bytes by which a form may be over the limit: a file of just the limit fits."""

SLOW = 256 * 1024
"""Bytes of text from which its values are validated off the event loop."""

SMALL = 2 * 1024 * 1024
"""Bytes of an upload that are written as they come, on the event loop: the page cache
takes them sooner than a thread would begin."""

WRITE = 256 * 1024
"""Bytes of the rest of an upload that are written at once, off the event loop."""


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

    @contextlib.asynccontextmanager
    async def parse(
        self, request: web.Request, max_size: int
    ) -> AsyncIterator[dict[str, Any]]:
        """Read the keyword arguments of a request; its files are gone at the end.

        `max_size` is that of the body, in bytes; 0 for no limit. Raises BadBody,
        BodyTooLarge, InvalidArguments, NotAcceptable, NoSpace, UnsupportedMediaType.
        """
        uploads = _Uploads()
        try:
            values, size = await self._collect(request, uploads, max_size)
            if size <= SLOW:
                kwargs = self.load(values)
            else:
                kwargs = await asyncio.to_thread(self.load, values)
            yield kwargs
        finally:
            await uploads.remove()

    def load(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Validate values by the callers' names; return them by the model's.

        Raises InvalidArguments.
        """
        try:
            loaded = self.schema.load(values, unknown=marshmallow.EXCLUDE)
        except marshmallow.ValidationError as error:
            raise InvalidArguments(_by_argument(error)) from error
        except authors_errors_or_exit() as error:  # from the author's own fields
            self._blame(values, error)
        if self.negotiation is not None and "accept" in loaded:
            loaded["accept"] = self.negotiation.settle(loaded["accept"])
        return loaded  # type: ignore[no-any-return]

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
                    values.get(argument.name, marshmallow.missing),
                    argument.name,
                    values,
                )
            except authors_errors_or_exit() as broken:
                messages[argument.name] = [named(broken)]
        raise InvalidArguments(messages or {"_schema": [text_of(error)]}) from error

    # -- where the values come from

    async def _collect(
        self, request: web.Request, uploads: "_Uploads", max_size: int
    ) -> tuple[dict[str, Any], int]:
        """Find the values of a request, and how many bytes of text its body had."""
        sources: dict[str, Any] = {
            "query": request.query,
            "form": {},
            "json": {},
            "headers": request.headers,
        }
        size: int | None = 0
        if self._takes_body and request.can_read_body:
            size = await self._read_body(request, sources, uploads, max_size)
        values = {}
        for argument in self.items:
            value = _find(argument, sources, request)
            if value is not marshmallow.missing:
                values[argument.name] = value
            elif size is None and argument.in_body and argument.attribute != "accept":
                raise UnsupportedMediaType(
                    f"{argument.name!r} was not found, and a body of type "
                    f"{request.content_type} cannot be read: send multipart/form-data, "
                    "application/x-www-form-urlencoded or application/json."
                )
        self.negotiate(values, ",".join(request.headers.getall("Accept", ())))
        return values, size or 0

    async def _read_body(
        self,
        request: web.Request,
        sources: dict[str, Any],
        uploads: "_Uploads",
        max_size: int,
    ) -> int | None:
        """Read the body into `sources`; return how many bytes of text it had.

        None if its type is none of ours.
        """
        kind = request.content_type
        size = 0
        try:
            async with contextlib.aclosing(_chunks(request, max_size)) as chunks:
                if kind == "multipart/form-data":
                    form = await self._read_multipart(request, chunks, uploads)
                    sources["form"] = form.values
                    size = MAX_TEXT - form.text_left
                elif kind == "application/x-www-form-urlencoded":
                    text = await _read_text(chunks)
                    sources["form"] = _parse_form(text, request.charset or "utf-8")
                    size = len(text)
                elif kind == "application/json" or kind.endswith("+json"):
                    text = await _read_text(chunks)
                    sources["json"] = _parse_json(text)
                    size = len(text)
                else:
                    return None
        except (web.RequestPayloadError, ConnectionError) as error:
            raise BadBody("The body ended before its time.") from error
        except (UnicodeError, LookupError) as error:
            raise BadBody(f"The body cannot be decoded: {error}.") from error
        return size

    async def _read_multipart(
        self,
        request: web.Request,
        chunks: AsyncIterator[bytes],
        uploads: "_Uploads",
    ) -> "_Form":
        _, options = parse_options_header(request.headers["Content-Type"])
        form = _Form(self._by_name, uploads)
        try:
            with PushMultipartParser(
                options.get("boundary", ""), max_segment_count=MAX_PARTS
            ) as parser:
                async for chunk in chunks:
                    for event in parser.parse(chunk):
                        await form.feed(event)
        except ParserLimitReached as error:
            raise BodyTooLarge(f"The form is over its limits: {error}.") from error
        except MultipartError as error:
            raise BadBody(f"The form is broken: {error}.") from error
        return form


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


def _find(argument: Argument, sources: dict[str, Any], request: web.Request) -> Any:
    for location in argument.locations:
        source = request.cookies if location == "cookies" else sources[location]
        if argument.name in source:
            value = _take(argument, source)
            if location != "json":
                value = _check_text(argument, value)
            return value
    return marshmallow.missing


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
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return text  # its field says what is wrong with it


async def _chunks(request: web.Request, max_size: int) -> AsyncGenerator[bytes]:
    """Yield a body as it comes, unpacked, as long as it is within its limits."""
    if max_size and request.content_type == "multipart/form-data":
        max_size += FRAMING
    if max_size and (request.content_length or 0) > max_size:
        raise _too_large(max_size)
    unpacked = _Unpacked(request.headers.get("Content-Encoding", ""))
    watch = _Watch(request.content)
    size = 0
    try:
        async for packed in request.content.iter_any():
            watch.again()
            for chunk in unpacked.feed(packed):
                size += len(chunk)
                if max_size and size > max_size:
                    raise _too_large(max_size)
                yield chunk
    finally:
        watch.end()
    unpacked.check_end()


class _Unpacked:
    """Undoes a content coding (RFC 9110, section 8.4.1), a piece at a time.

    aiohttp's own does not notice a body that is cut off, and leaves requests without
    an answer.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding.strip().lower()
        self._member: Any = None
        if self._coding not in ("", "identity", *CODINGS):
            raise UnsupportedMediaType(
                f"A body with Content-Encoding {coding} cannot be read.",
                headers={"Accept-Encoding": ", ".join(CODINGS)},
            )

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._coding not in CODINGS:
            yield data
            return
        while data:
            if self._member is None:
                self._member = zlib.decompressobj(CODINGS[self._coding])
            try:
                yield self._member.decompress(data, UNPACKED)
            except zlib.error as error:
                raise BadBody(f"The body is no {self._coding}: {error}.") from error
            data = self._member.unconsumed_tail
            if self._member.eof:  # several members make one body
                data, self._member = self._member.unused_data, None

    def check_end(self) -> None:
        if self._member is not None:
            raise BadBody("The body ended before its time.")


async def _read_text(chunks: AsyncIterator[bytes]) -> bytearray:
    text = bytearray()
    async for chunk in chunks:
        text += chunk
        if len(text) > MAX_TEXT:
            raise BodyTooLarge(
                f"The body has more than {MAX_TEXT} bytes of text; "
                "send a file for more."
            )
    return text


def _parse_form(text: bytearray, charset: str) -> MultiDict[Any]:
    try:
        pairs = urllib.parse.parse_qsl(
            _decode(text.rstrip(), charset),
            keep_blank_values=True,
            encoding=charset,
            max_num_fields=MAX_FIELDS,
        )
    except UnicodeError:
        raise
    except ValueError as error:
        raise BodyTooLarge(f"The form has more than {MAX_FIELDS} fields.") from error
    return MultiDict(pairs)


def _decode(text: bytearray, charset: str) -> str:
    """Decode a text. Raises UnicodeError, or LookupError for what is no charset."""
    if "\0" in charset or codecs.lookup(charset).name in NO_CHARSETS:
        raise LookupError(f"unknown encoding: {charset!r}")
    return text.decode(charset)


def _parse_json(text: bytearray) -> dict[str, Any]:
    if not text.strip():
        return {}
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidArguments({"json": ["Invalid JSON body."]}, status=400) from error
    if not isinstance(value, dict):
        raise InvalidArguments({"json": ["Must be a JSON object."]})
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_large(max_size: int) -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {max_size} bytes (client-max-size).")


class _Watch:
    """Ends the reading of a body that stops coming."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._timer = self._begin()

    def _begin(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(PATIENCE, self._give_up)

    def again(self) -> None:
        """Begin to wait anew."""
        self._timer.cancel()
        self._timer = self._begin()

    def end(self) -> None:
        self._timer.cancel()

    def _give_up(self) -> None:
        self._content.set_exception(BadBody("The body stopped coming.", status=408))


# -- forms and files


class _Form:
    """A form as it comes in, part after part."""

    def __init__(self, known: Mapping[str, Argument], uploads: "_Uploads") -> None:
        self.values: MultiDict[Any] = MultiDict()
        self._known = known
        self._uploads = uploads
        self._part: MultipartSegment | None = None
        self._file: _Upload | None = None
        self._text = bytearray()
        self.text_left = MAX_TEXT

    async def feed(self, event: MultipartSegment | bytes | bytearray | None) -> None:
        """Take the head of a part, some of its content, or its end (None)."""
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            await self._end()
        elif self._file is not None:
            await self._file.write(event)
        elif self._part is not None:
            self.text_left -= len(event)
            if self.text_left < 0:
                raise BodyTooLarge(f"The form has more than {MAX_TEXT} bytes of text.")
            self._text += event

    def _begin(self, part: MultipartSegment) -> None:
        self._part = part if part.name in self._known else None
        if self._part is None:
            return
        argument = self._known[part.name]
        is_file = _is_file_part(part, argument)
        if (
            (is_file or argument.is_file)
            and not argument.multiple
            and part.name in self.values
        ):
            raise InvalidArguments({part.name: ["Takes one file, not several."]})
        if is_file:
            self._file = self._uploads.open(part)

    async def _end(self) -> None:
        part, self._part = self._part, None
        file, self._file = self._file, None
        if file is not None:
            await file.close()
            # What a browser sends for an input in which no file was chosen.
            if file.size or file.value.original_filename:
                self.values.add(str(file.value.name), file.value)
        elif part is not None:
            text = _decode(self._text, part.charset or "utf-8")
            self._text.clear()
            self.values.add(part.name, text)


def _is_file_part(part: MultipartSegment, argument: Argument) -> bool:
    if part.filename is not None:
        return True
    return argument.is_file and (part.content_type or "text/plain") != "text/plain"


@dataclass
class _Uploads:
    """The files of one request."""

    files: list["_Upload"] = field(default_factory=list)

    def open(self, part: MultipartSegment) -> "_Upload":
        with disk_errors():
            upload = _Upload(part)
        self.files.append(upload)
        return upload

    async def remove(self) -> None:
        """Delete the files, off the event loop where that takes time."""
        if sum(file.size for file in self.files) > 64 * WRITE:
            await asyncio.to_thread(self._remove)
        else:
            self._remove()

    def _remove(self) -> None:
        for file in self.files:
            file.handle.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.handle.name)


class _Upload:
    """A file on its way to the disk."""

    def __init__(self, part: MultipartSegment) -> None:
        original = re.split(r"[\\/]", part.filename or "")[-1]
        # The end of the name is kept, since readers go by it: `.nii.gz`.
        tail = re.sub(r"[^A-Za-z0-9._-]", "_", original)[-64:]
        self.handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - see _Uploads
            prefix="deepaas-", suffix=f"-{tail}", delete=False, buffering=0
        )
        self.value = UploadedFile(
            name=part.name,
            filename=self.handle.name,
            content_type=part.content_type or "application/octet-stream",
            original_filename=original or None,
        )
        self.size = 0
        self._pending = bytearray()

    async def write(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if self.size <= SMALL:
            with disk_errors():
                _write_all(self.handle, data)
            return
        self._pending += data
        if len(self._pending) >= WRITE:
            pending, self._pending = self._pending, bytearray()
            with disk_errors():
                await asyncio.to_thread(_write_all, self.handle, pending)

    async def close(self) -> None:
        with disk_errors():
            _write_all(self.handle, self._pending)
            self.handle.close()
        self._pending = bytearray()


def _write_all(handle: Any, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]
