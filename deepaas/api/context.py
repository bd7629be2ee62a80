"""Keys of the values that a request and the application carry with them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from deepaas.executors import Ended, Event

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID_HEADER = "X-Request-ID"


@dataclass(slots=True)
class RequestContext:
    """The facts of a request beside its HTTP, for answers and logs."""

    request_id: str
    """The name of the request for its caller and in logs."""
    client: str | None = None
    """The caller's address, where a trusted proxy has told it."""
    prefix: str = ""
    """The prefix of the path that a trusted proxy has removed."""
    ignored: str | None = None
    """The names of ignored arguments, encoded for headers and logs."""
    job: str | None = None
    """The uuid of the job that the request has started."""
    ended: Ended | None = None
    """The end of the call of the request, when it is over."""
    uncoded: bool = False
    """The answer is not compressed, unless the caller refuses it without a coding.

    tritonclient's client for asyncio accepts gzip, and reads only answers to inference
    so.
    """

    def note_end(self, event: Event) -> None:
        """Keeps how the call of the request has ended."""
        if isinstance(event, Ended):
            self.ended = event


CONTEXT = web.RequestKey("context", RequestContext)
"""Set for each request before its handler runs."""


def prefix(request: web.Request) -> str:
    """Returns the beginning of our own paths for this caller."""
    return request[CONTEXT].prefix


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
