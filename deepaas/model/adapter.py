"""ModelAdapter: a loaded model as the server sees it."""

import asyncio
import contextlib
import difflib
import logging
import threading
from collections.abc import Callable, Mapping
from inspect import getattr_static
from typing import Any

import marshmallow

from deepaas.arguments import Arguments
from deepaas.encoding import encode_json
from deepaas.errors import StartError, authors_errors_or_exit, named, text_of
from deepaas.model.loading import ModelRef, batching, response_fields

logger = logging.getLogger(__name__)

METADATA_TIMEOUT = 10.0
"""Seconds that a model has to describe itself."""


class ModelAdapter:
    """A loaded model as the server sees it; an executor runs its calls.

    `shared` says that this process loads other models too. Raises StartError, naming
    the model and the cause, when the model cannot be served.
    """

    def __init__(self, ref: ModelRef, *, shared: bool = False) -> None:
        self.name = ref.name
        self._reading: asyncio.Future[Any] | None = None
        self.model = self._load(ref, shared)
        self.folder = ref.folder()
        """The folder of the author's files."""
        self.predict_args = self._arguments("get_predict_args")
        self.train_args = self._arguments("get_train_args")
        self.has_predict = any(map(self._method, ("predict", "predict_batch")))
        self.has_train = self._method("train") is not None
        if not (self.has_predict or self.has_train):
            raise self._error(_no_method(self.model))
        try:
            batching(self.model)
        except TypeError as error:
            raise self._error(str(error)) from error
        try:
            self.response = response_fields(self.model)
            _resolve(self.response)
        except NotImplementedError:
            self.response = None
        except authors_errors_or_exit() as error:
            cause = text_of(error).removeprefix("schema ")
            raise self._error(f"schema: {cause}") from error

    def _load(self, ref: ModelRef, shared: bool) -> Any:
        try:
            return ref.load(shared=shared)
        except authors_errors_or_exit() as error:
            cause = f"{ref.target} does not load: {named(error)}"
            raise self._error(cause) from error

    def _arguments(self, method: str) -> Arguments:
        get = self._method(method)
        try:
            return Arguments(get() if get is not None else {})
        except NotImplementedError:
            return Arguments({})
        except authors_errors_or_exit() as error:
            raise self._error(f"{method}: {named(error)}") from error

    def _method(self, name: str) -> Any:
        method = getattr(self.model, name, None)
        if method is not None and not callable(method):
            raise self._error(f"{name} is not a function, but {method!r}")
        return method

    def _error(self, cause: str) -> StartError:
        return StartError(f"The model {self.name!r} cannot be served: {cause}")

    async def metadata(self) -> Mapping[str, Any]:
        """Read the model's metadata again, off the event loop.

        Requests that come while it is read share the answer. A model that fails at it,
        or takes too long, is described by its name.
        """
        if self._reading is None or self._reading.done():
            self._reading = _in_thread(self._describe)
        described: Mapping[str, Any] = {}
        try:
            reading = asyncio.shield(self._reading)
            described = await asyncio.wait_for(reading, METADATA_TIMEOUT)
        except asyncio.TimeoutError:
            logger.warning("%s: get_metadata takes too long", self.name)
        return {
            "id": self.name,
            "name": self.name,
            **(described or {"description": f"The model {self.name}."}),
        }

    def _describe(self) -> Mapping[str, Any]:
        get = self._method("get_metadata")
        try:
            described = get() if get is not None else {}
            encode_json({"models": [described]})  # the deepest place where it is
        except NotImplementedError:
            return {}
        except authors_errors_or_exit() as error:
            logger.warning("%s: get_metadata failed: %s", self.name, named(error))
            return {}
        return described if isinstance(described, Mapping) else {}


def _no_method(model: Any) -> str:
    """Return the error of a model without methods; it lists similar names."""
    wanted = ("predict", "predict_batch", "train")
    by_lower = {name.lower(): name for name in dir(model) if name[:1] != "_"}
    similar = {
        by_lower[close]
        for name in wanted
        for close in difflib.get_close_matches(name, by_lower, n=3, cutoff=0.7)
    }
    similar = {name for name in similar if callable(getattr_static(model, name))}
    message = "it has neither predict, predict_batch nor train"
    if similar:
        message += f"; it has {' and '.join(sorted(similar))}"
    return message + "."


def _resolve(response: Mapping[str, Any] | type | None) -> None:
    """Find the schemas that a schema nests by name. Raises RegistryError."""
    if response is None:
        return
    if isinstance(response, Mapping):
        response = marshmallow.Schema.from_dict(dict(response))
    nested = marshmallow.fields.Nested
    fields, seen = list(response().fields.values()), set()
    while fields:
        field = fields.pop()
        if isinstance(field, nested) and type(field.schema) not in seen:
            seen.add(type(field.schema))
            fields += field.schema.fields.values()
        within = (getattr(field, name, None) for name in ("inner", "value_field"))
        fields += [one for one in within if one is not None]


def _in_thread(function: Callable[[], Any]) -> asyncio.Future[Any]:
    """Call a function in a thread that may hang without keeping the server."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()

    def run() -> None:
        value = function()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(future.set_result, value)

    threading.Thread(target=run, daemon=True).start()
    return future
