"""The common part of the clients with and without coroutines; no input or output."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

import httpx
from httpx_sse import ServerSentEvent

from deepaas.client.arguments import Description, Request
from deepaas.client.errors import StreamFailed
from deepaas.client.results import (
    JobRecord,
    Progress,
    media_type_of,
    read_job,
    read_progress,
)

TIMEOUT = 60.0
"""Seconds without a byte from the server after which a call fails."""

FIRST_PAUSE = 0.5
"""Seconds before a lost connection to a job is made again; each next one doubles."""

MAX_PAUSE = 15.0
"""Seconds of the longest of these pauses."""

MAX_LOSSES = 8
"""Connections to a job that are lost in a row until following it fails."""

POLL_SECONDS = 0.2
"""Seconds between two questions whether the server is ready."""


def settings_of(
    url: str, token: str | None, timeout: float | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings of an httpx client."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # A prediction may compute for long without a byte.
    limits = httpx.Timeout(timeout, connect=10.0)
    return {
        "base_url": url.rstrip("/") + "/",
        "headers": headers,
        "timeout": limits,
        **options,
    }


def model_path(name: str) -> str:
    """Return the path of a model."""
    return f"v2/models/{quote(name, safe='')}"


def find_description(
    document: Mapping[str, Any], name: str, method: str
) -> Description | None:
    """Return the arguments of a method; None if the document has no such method."""
    ends = {f"/v2/models/{form}/{method}" for form in (name, quote(name, safe=""))}
    for path, operations in document.get("paths", {}).items():
        if path.rstrip("/").endswith(tuple(ends)) and "post" in operations:
            return Description(operations["post"])
    return None


def build(
    description: Description | None, arguments: Mapping[str, Any], opened: ExitStack
) -> dict[str, Any]:
    """Return the arguments of a call as httpx takes them; `opened` closes files.

    Raises TypeError for an argument that the model does not have.
    """
    if description is None:  # the server says why
        request = Request()
    else:
        if message := description.unknown(arguments):
            raise TypeError(message)
        request = description.request(arguments, opened)
    built: dict[str, Any] = {"headers": dict(request.headers)}
    if request.params:
        built["params"] = list(request.params)
    if request.files:
        built["files"] = list(request.files)
    elif request.content is not None:
        built["content"] = request.content
    return built


def merged(
    arguments: Mapping[str, Any] | None, named: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call: those in a dict, and those given by name."""
    return {**(arguments or {}), **named}


def only(models: list[dict[str, Any]]) -> str:
    """Return the name of the only model. Raises ValueError if there are several."""
    names = [_name_of(model) for model in models]
    if len(names) != 1:
        raise ValueError(f"choose one of the models: {', '.join(names)}")
    return names[0]


def _name_of(model: Mapping[str, Any]) -> str:
    """Return the name under which a model is called; its own may be another one."""
    for link in model.get("links", ()):
        if link.get("rel") == "self":
            return httpx.URL(link["href"]).path.rstrip("/").rpartition("/")[2]
    return str(model.get("id", ""))


def changed(record: JobRecord, event: ServerSentEvent) -> JobRecord:
    """Return a job after an event."""
    value = json.loads(event.data)
    if event.event == "status":
        return read_job(value)
    if event.event == "progress":
        return with_progress(record, read_progress(value))
    return record


def with_progress(record: JobRecord, progress: Progress) -> JobRecord:
    """Return a job with another report of progress."""
    return JobRecord(**{**vars(record), "progress": progress})


class Lines:
    """The items of a stream of NDJSON.

    If the model fails in the middle, the last line is `{"message": "..."}`. A line like
    that is an item if another line follows, or if all lines are like it.
    """

    def __init__(self) -> None:
        self._held: Any = None
        """The last item, if it may be an error."""
        self._only_messages = True

    def items(self, line: str) -> list[Any]:
        """Return the items that are known to be items after this line."""
        if not line.strip():
            return []
        item = json.loads(line)
        held, self._held = self._held, None
        known = [] if held is None else [held]
        is_message = isinstance(item, dict) and item.keys() == {"message"}
        if is_message and not self._only_messages:
            self._held = item
            return known
        self._only_messages = self._only_messages and is_message
        return [*known, item]

    def end(self) -> None:
        """Raise StreamFailed if the last line is an error."""
        if self._held is not None:
            raise StreamFailed(str(self._held["message"]))


def item_of_event(event: ServerSentEvent) -> Any:
    """Return the item of an event: a value, or the text that is not JSON.

    Raises StreamFailed for an error.
    """
    try:
        item = json.loads(event.data)
    except ValueError:
        item = event.data
    if event.event == "error":
        raise StreamFailed(item["message"] if isinstance(item, dict) else event.data)
    return item


def stream_kind(response: httpx.Response) -> str:
    """Return how a stream is read: `lines`, `events`, `whole` or `pieces`."""
    kinds = {
        "application/x-ndjson": "lines",
        "text/event-stream": "events",
        "application/json": "whole",
    }
    return kinds.get(media_type_of(response), "pieces")
