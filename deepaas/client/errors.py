"""The exceptions that a call of a server raises."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from deepaas.client.results import JobRecord


class ClientError(Exception):
    """Any failure of a call."""


class Unreachable(ClientError):
    """No server answers at the address, or the connection was lost."""


class CallFailed(ClientError):
    """The server has answered with an error."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message)
        self.status = response.status_code
        """The HTTP status, such as 500."""
        self.request_id = response.headers.get("X-Request-ID", "")
        """The id under which the server's log has the call."""


class InvalidArguments(CallFailed):
    """The arguments do not fit."""

    def __init__(self, messages: Mapping[str, Any], response: httpx.Response) -> None:
        super().__init__("; ".join(_lines(messages)), response)
        self.messages = dict(messages)
        """The messages of each argument."""


class Unavailable(CallFailed):
    """Too many calls wait, or no worker is warm: the call may be repeated."""

    def __init__(self, message: str, response: httpx.Response) -> None:
        super().__init__(message, response)
        text = response.headers.get("Retry-After", "")
        self.retry_after = float(text) if text.isdecimal() else None
        """Seconds to wait before that, None if the server does not say."""


class StreamFailed(ClientError):
    """The model failed in the middle of a stream; its items before are good."""


class JobFailed(ClientError):
    """A job has ended with an error, or was cancelled."""

    def __init__(self, job: "JobRecord") -> None:
        super().__init__(job.message or f"the job is {job.status}")
        self.job = job
        """The job at its end."""


def error_of(response: httpx.Response) -> CallFailed:
    """Return the error of an answer, whose body was read."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {"message": response.text.strip() or response.reason_phrase}
    if "message" not in body:
        return InvalidArguments(body, response)
    message = str(body["message"])
    kind = Unavailable if response.status_code == 503 else CallFailed
    return kind(message, response)


def unreachable(error: httpx.TransportError, url: str) -> Unreachable:
    """Return the error for a connection that could not be made, or was lost."""
    if isinstance(error, httpx.ConnectError):
        return Unreachable(f"no server answers at {url}: {error}")
    if isinstance(error, httpx.TimeoutException):
        return Unreachable(f"{url} has not answered in time")
    return Unreachable(f"the connection to {url} was lost: {error}")


def _lines(messages: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, texts in messages.items():
        each = texts if isinstance(texts, list) else [texts]
        lines += [f"{name}: {text}" for text in each]
    return lines
