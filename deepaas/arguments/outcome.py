"""Outcome: what came of loading the values of a call where the author's code is."""

import json
import pickle
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from deepaas.arguments.loading import Arguments
from deepaas.encoding import describe_json
from deepaas.errors import BadBody, InvalidArguments, ModelRaised, NotAcceptable


class Values(NamedTuple):
    """The values that a caller gives a method, before they are validated."""

    values: dict[str, Any]
    """By the callers' names of the arguments."""
    accept: str = ""
    """The media types that the caller accepts, as in the header Accept (RFC 9110)."""
    problems: Mapping[str, Any] = MappingProxyType({})
    """Messages, by name, on what is refused before anything is validated."""
    large: bool = False
    """Validation takes long; it is done in a thread."""


class Outcome(NamedTuple):
    """Arguments that were loaded, or the messages on those that do not fit.

    It holds only texts, numbers and bytes.
    """

    kwargs: bytes = b""
    """The keyword arguments, pickled: the server passes them on as they are."""
    media_type: str | None = None
    """The media type that was negotiated."""
    shown: str = "{}"
    """JSON of what a job's record shows of the arguments, if that was asked for."""
    status: int = 200
    messages: str = "{}"
    """JSON of the messages of a status of InvalidArguments."""
    refused: str = ""
    """The message of a status of NotAcceptable."""

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
    arguments that cannot be sent.
    """
    try:
        kwargs = load(arguments, given)
    except InvalidArguments as error:
        text = describe_json(error.messages).decode()
        return Outcome(status=error.status, messages=text)
    except NotAcceptable as error:
        return Outcome(status=error.status, refused=str(error))
    shown = describe_json(arguments.show(kwargs)).decode() if shows else "{}"
    return Outcome(pack_kwargs(kwargs), arguments.accepted(kwargs), shown)


def pack_kwargs(kwargs: Mapping[str, Any]) -> bytes:
    """Return keyword arguments as a `Call` has them. Raises BadBody or ModelRaised."""
    try:
        return pickle.dumps(dict(kwargs), protocol=5)
    except RecursionError as error:
        raise BadBody("An argument is nested too deeply.") from error
    except Exception as error:  # an author's own class may raise anything
        raise ModelRaised(
            f"An argument cannot be sent to the worker: {error}"
        ) from error
