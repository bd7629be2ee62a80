"""Finds the value of each argument in the places of a request; lists ignored names."""

import difflib
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias
from urllib.parse import quote

from marshmallow import missing

from deepaas.arguments.definition import Argument
from deepaas.arguments.json_text import JSONPart, decode_json
from deepaas.errors import InvalidArguments, UnsupportedMediaType
from deepaas.model.v2.wrapper import UploadedFile

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


Sources: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Values by the callers' names, by their location."""


class Findable(Protocol):
    """Arguments by the facts that say where their values are."""

    @property
    def items(self) -> Sequence[Argument]:
        """Return them in order."""

    @property
    def by_name(self) -> Mapping[str, Argument]:
        """Return them by all the names that callers may use."""


def find_values(
    arguments: Findable,
    sources: Sources,
    unknown_type: str = "",
) -> dict[str, Any]:
    """Return values by argument. Raises InvalidArguments or UnsupportedMediaType.

    `unknown_type` is the media type of a body that was not read.
    """
    values = {}
    for argument in arguments.items:
        for location in argument.locations:
            if argument.is_list:
                value = _take_list(argument, sources[location])
            else:
                value = sources[location].get(argument.name, missing)
            if value is not missing and location != "json":
                value = _read_text(argument, value)
            if value is not missing:
                values[argument.name] = value
                break
        else:
            if unknown_type and argument.in_body:
                _need_body(argument, unknown_type)
    return values


def _need_body(argument: Argument, unknown_type: str) -> None:
    if argument.attribute != "accept":
        raise UnsupportedMediaType(
            f"{argument.name!r} was not found, and a body of type "
            f"{unknown_type} cannot be read: send multipart/form-data, "
            "application/x-www-form-urlencoded or application/json."
        )


# -- one value


def _take_list(argument: Argument, source: Any) -> Any:
    """Return a list, `missing`, or a value that may be the text of a list."""
    name = argument.name
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


def find_ignored(
    arguments: Findable, sources: Sources, dropped: Collection[str] = ()
) -> Mapping[str, str]:
    """Return the names that no argument takes, with their locations.

    An argument's name in a location where the argument is not looked for is ignored
    too, unless the argument was found elsewhere. `dropped` are names in a form.
    """
    ignored: dict[str, str] = dict.fromkeys(dropped, "form")
    for location in ("query", "form", "json"):
        for name in sources[location]:
            argument = arguments.by_name.get(name)
            places = () if argument is None else argument.locations
            if location not in places and not any(name in sources[p] for p in places):
                ignored[name] = location
    return ignored


def header_of(names: Iterable[str]) -> str:
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


def refuse(ignored: Mapping[str, str], arguments: Findable) -> dict[str, list[str]]:
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
