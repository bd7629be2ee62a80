"""Outcome: what came of loading the values of a call where the author's code is."""

import contextlib
import json
import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from deepaas.arguments.definition import LOCATIONS
from deepaas.arguments.finding import find_ignored, find_values, header_of, refuse
from deepaas.arguments.json_text import decode_json_at_once, parse_json
from deepaas.arguments.loading import Arguments
from deepaas.encoding import describe_json
from deepaas.errors import (
    BadBody,
    DiskErrors,
    InvalidArguments,
    ModelRaised,
    NotAcceptable,
)

NOWHERE: Mapping[str, Mapping[str, Any]] = {
    location: {} for location in LOCATIONS.values()
}
"""No values, in each location."""


MAX_MESSAGES_CHARS = 1024 * 1024
"""Characters of JSON up to which messages on arguments are sent."""


class JSONFile(NamedTuple):
    """A JSON body in a file, to be read where the arguments are loaded."""

    path: str
    charset: str | None
    loaded: str
    """The path of an empty file for the loaded arguments.

    The server removes both files when the call has ended.
    """
    query: tuple[str, ...]
    """The names in the query."""
    strict: bool
    """Ignored names are refused."""


class Values(NamedTuple):
    """The values that a caller gives a method, before they are validated."""

    values: dict[str, Any]
    """By the callers' names of the arguments."""
    accept: str = ""
    """The media types that the caller accepts, as in the header Accept (RFC 9110)."""
    problems: Mapping[str, Any] = {}  # not a mappingproxy, which cannot be pickled
    """Messages, by name, on what is refused before anything is validated."""
    large: bool = False
    """Validation takes long; it is done in a thread."""
    file: JSONFile | None = None
    """A JSON body that was not parsed; `values` has those of other places."""
    note_ignored: Callable[[str], None] | None = None
    """Called with the names in a `file` that were ignored."""


class Outcome(NamedTuple):
    """Arguments that were loaded, or the messages on those that do not fit.

    It holds only texts, numbers and bytes.
    """

    kwargs: bytes = b""
    """The keyword arguments, pickled: the server passes them on as they are.

    Those of a JSON file are in its file `loaded`.
    """
    media_type: str | None = None
    """The media type that was negotiated."""
    shown: str = "{}"
    """JSON of what a job's record shows of the arguments, if that was asked for."""
    status: int = 200
    messages: str = "{}"
    """JSON of the messages of a status of InvalidArguments."""
    refused: str = ""
    """The message of a status of NotAcceptable."""
    ignored: str = ""
    """The names in a JSON file that were ignored, as the header lists them."""

    def raise_refusal(self) -> None:
        """Raise InvalidArguments or NotAcceptable for arguments that do not fit."""
        if self.refused:
            raise NotAcceptable(self.refused, status=self.status)
        if self.status != 200:
            raise InvalidArguments(json.loads(self.messages), status=self.status)

    def pack(self) -> bytes:
        """Return it as bytes for `unpack_outcome`."""
        return pickle.dumps(tuple(self), protocol=5)


def unpack_outcome(packed: bytes) -> Outcome:
    """Return an outcome that has crossed."""
    return Outcome(*pickle.loads(packed))


def load(arguments: Arguments, given: Values) -> dict[str, Any]:
    """Return the arguments of a call. Raises InvalidArguments, NotAcceptable."""
    try:
        arguments.negotiate(given.values, given.accept)
        loaded = arguments.load(given.values)
    except InvalidArguments as error:
        messages = {**given.problems, **error.messages}
        raise InvalidArguments(messages, status=error.status) from error
    if given.problems:
        raise InvalidArguments(given.problems)
    return loaded


def load_to_cross(arguments: Arguments, given: Values, *, shows: bool) -> Outcome:
    """Load values, and return the outcome for another process.

    `shows` asks for what a job's record shows. Raises BadBody or ModelRaised for
    arguments that cannot be sent, and NoSpace.
    """
    ignored = ""
    try:
        if given.file is not None:
            found = _read_json(given.file)
            names = _find_ignored(arguments, given, given.file, found)
            ignored = header_of(names)
            problems = refuse(names, arguments) if given.file.strict else {}
            values = find_values(arguments, {**NOWHERE, "json": found})
            given = given._replace(values=values | given.values, problems=problems)
        kwargs = load(arguments, given)
    except InvalidArguments as error:
        text = _messages(error)
        return Outcome(status=error.status, messages=text, ignored=ignored)
    except NotAcceptable as error:
        return Outcome(status=error.status, refused=str(error), ignored=ignored)
    shown = describe_json(arguments.show(kwargs)).decode() if shows else "{}"
    packed = b""
    if given.file is None:
        packed = pack_kwargs(kwargs)
    else:
        _write_kwargs(kwargs, given.file.loaded)
    return Outcome(packed, arguments.accepted(kwargs), shown, ignored=ignored)


def _read_json(file: JSONFile) -> dict[str, Any]:
    """Read a JSON body. Raises InvalidArguments or BadBody."""
    with open(file.path, "rb") as body:
        text = body.read()
    try:
        return parse_json(text, file.charset, decode_json_at_once)
    except LookupError as error:
        raise BadBody(f"The body cannot be decoded: {error}.") from error


def _find_ignored(
    arguments: Arguments, given: Values, file: JSONFile, found: Mapping[str, Any]
) -> Mapping[str, str]:
    elsewhere = given.values
    return find_ignored(
        arguments,
        {
            "query": dict.fromkeys(file.query),
            "form": {},
            "json": found,
            "headers": elsewhere,
            "cookies": elsewhere,
        },
    )


def _messages(error: InvalidArguments) -> str:
    """Return messages as JSON; a large value may have millions of faults."""
    text = describe_json(error.messages).decode()
    if len(text) <= MAX_MESSAGES_CHARS:
        return text
    many = {name: ["It has too many faults to list."] for name in error.messages}
    return describe_json(many).decode()


def pack_kwargs(kwargs: Mapping[str, Any]) -> bytes:
    """Return keyword arguments as a `Call` has them. Raises BadBody or ModelRaised."""
    with _pickle_errors():
        return pickle.dumps(dict(kwargs), protocol=5)


def _write_kwargs(kwargs: Mapping[str, Any], path: str) -> None:
    """Write keyword arguments to a file. Raises BadBody, ModelRaised or NoSpace."""
    # Not created: the server has removed it if the caller has left.
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC)
    with DiskErrors(), _pickle_errors(), open(descriptor, "wb") as file:
        pickle.dump(dict(kwargs), file, protocol=5)


@contextlib.contextmanager
def _pickle_errors() -> Iterator[None]:
    try:
        yield
    except RecursionError as error:
        raise BadBody("An argument is nested too deeply.") from error
    except OSError:
        raise  # of the disk
    except Exception as error:  # an author's own class may raise anything
        raise ModelRaised(
            f"An argument cannot be sent to the worker: {error}"
        ) from error
