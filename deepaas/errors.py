"""The errors that callers and operators receive, each with its HTTP status."""

import errno
import sys
from collections.abc import Mapping
from typing import Any

LEFT = 499
"""The status of a request or a call whose caller has left, as nginx has it."""


def authors_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions of an author's code that a process survives.

    SystemExit is not one of them.
    """
    kinds = (Exception, KeyboardInterrupt, GeneratorExit)
    # CancelledError is none of these. A worker imports asyncio only if its model does.
    asyncio = sys.modules.get("asyncio.exceptions")
    return kinds if asyncio is None else (*kinds, asyncio.CancelledError)


def authors_errors_or_exit() -> tuple[type[BaseException], ...]:
    """Return the exceptions of an author's code that must not end the server."""
    return (*authors_errors(), SystemExit)


def text_of(error: object) -> str:
    """Return the text of an exception, even of one whose own text raises."""
    try:
        return str(error)
    except authors_errors() as broken:
        return f"(its text cannot be shown: {type(broken).__name__})"


def named(error: BaseException) -> str:
    """Return an exception's kind and text."""
    return f"{type(error).__name__}: {text_of(error)}"


class DeepaasError(Exception):
    """An error with a message for the caller."""

    status = 500

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.headers = dict(headers or {})
        if status is not None:
            self.status = status


class StartError(DeepaasError):
    """The server cannot start; the message says what to do about it."""


def cannot_listen(host: str, port: int, error: OSError) -> StartError:
    """Return the error for a port; if it is taken, it says what to do."""
    taken = error.errno == errno.EADDRINUSE
    advice = "; choose another port with --listen-port" if taken else ""
    return StartError(f"cannot listen on {host}:{port}: {error.strerror}{advice}")


class InvalidArguments(DeepaasError):
    """Arguments that do not fit: messages by argument."""

    status = 422

    def __init__(self, messages: Mapping[str, Any], *, status: int = 422) -> None:
        super().__init__("Invalid arguments.", status=status)
        self.messages = messages


class InvalidRequestKey(DeepaasError):
    """A job with other arguments has the key of a request."""

    status = 422


class BadBody(DeepaasError):
    """A request body that cannot be read."""

    status = 400


class BodyTooLarge(DeepaasError):
    """A request body over `client-max-size`, or a form over its limits."""

    status = 413


class UnsupportedMediaType(DeepaasError):
    """A request body of a type that holds no arguments."""

    status = 415


class Unauthorized(DeepaasError):
    """The caller has sent no known token."""

    status = 401


class NotAcceptable(DeepaasError):
    """No media type that the model returns fits the Accept header."""

    status = 406


class NotFound(DeepaasError):
    """No such model, job or route."""

    status = 404


class Gone(DeepaasError):
    """The resource existed, or could have existed, and will not come back."""

    status = 410


class NoSpace(DeepaasError):
    """The disk is full."""

    status = 507

    def __init__(
        self, message: str = "There is no space on the server's disk."
    ) -> None:
        super().__init__(message)


class DiskErrors:
    """Raises NoSpace for an OSError on a full disk, a quota or a limit.

    It is a class because a generator takes three times as long, for each piece of an
    upload.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, *_: object) -> None:
        full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if isinstance(error, OSError) and error.errno in full:
            raise NoSpace from error


class StoreFailed(DeepaasError):
    """The database of the jobs cannot be read or written."""


class StoreUnavailable(StoreFailed):
    """The database of the jobs is locked or not reachable now, but may be soon."""

    status = 503

    def __init__(self, message: str) -> None:
        super().__init__(message, headers={"Retry-After": "5"})


class ModelRaised(DeepaasError):
    """The model raised; the traceback is for the log only."""

    def __init__(
        self, message: str, *, status: int = 500, kind: str = "", traceback: str = ""
    ) -> None:
        super().__init__(message, status=status)
        self.kind = kind
        """The exception's class."""
        self.traceback = traceback


class WorkerDied(DeepaasError):
    """The worker ended in the middle of the call."""


class CallTimeout(DeepaasError):
    """The call took too long and was ended."""

    status = 504


class Unavailable(DeepaasError):
    """No worker can take the call: too many wait, or the server is stopping."""

    status = 503


class RowFailed(Exception):
    """A call that was made together with others has failed, with `error`."""

    def __init__(self, number: int, error: BaseException) -> None:
        super().__init__(number, error)
        self.number = number
        self.error = error


def name_row(error: DeepaasError, number: int) -> DeepaasError:
    """Returns an error of one row of a batch, with the number of the row."""
    if isinstance(error, Unavailable):
        return error  # no row is the cause
    row = f"row {number}"
    if isinstance(error, InvalidArguments):
        messages = {f"{row}: {name}": value for name, value in error.messages.items()}
        return InvalidArguments(messages, status=error.status)
    message = f"{row}: {error}"
    if isinstance(error, ModelRaised):
        return ModelRaised(
            message, status=error.status, kind=error.kind, traceback=error.traceback
        )
    return DeepaasError(message, status=error.status, headers=error.headers)
