"""Keys of the values that a request and the application carry with them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from deepaas.executors import Ended, Event

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID_HEADER = "X-Request-ID"

REQUEST_ID = web.RequestKey("request_id", str)
"""The name of a request for its caller and in logs."""

CLIENT = web.RequestKey("client", str)
"""The caller's address, where a trusted proxy has told it."""

PREFIX = web.RequestKey("prefix", str)
"""The prefix of the path that a trusted proxy has removed."""

IGNORED = web.RequestKey("ignored", str)
"""The names of ignored arguments, encoded for headers and logs."""

JOB = web.RequestKey("job", str)
"""The uuid of the job that a request has started."""

ENDED = web.RequestKey("ended", Ended)
"""The end of the call of a request, when it is over."""


UNCODED = web.RequestKey("uncoded", bool)
"""The answer is not compressed, unless the caller refuses it without a coding.

tritonclient's client for asyncio accepts gzip, and reads only answers to inference so.
"""


def prefix(request: web.Request) -> str:
    """Returns the beginning of our own paths for this caller."""
    found: str = request.get(PREFIX, "")
    return found


def note_end(request: web.Request, event: Event) -> None:
    """Keeps how the call of a request has ended."""
    if isinstance(event, Ended):
        request[ENDED] = event


@dataclass(frozen=True)
class Controls:
    """Functions by which the server controls an application that runs."""

    reload: Callable[[], None]
    """Reads again the file of tokens, and what the models declare."""
    drain: Callable[[], None]
    """Makes readiness 503: the port will be closed."""
    log_request: Callable[[web.Request, web.StreamResponse, float], None]
    """Counts and logs an answered request a little later; the number is seconds."""
    flush_log: Callable[[], None]
    """Counts and logs the waiting entries at once."""


CONTROLS = web.AppKey("controls", Controls)
