"""ModelAdapter: a loaded model as the server sees it."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

import marshmallow

from deepaas.arguments import Arguments
from deepaas.arguments.annotations import read_annotations
from deepaas.encoding import encode_json
from deepaas.errors import StartError, authors_errors_or_exit, named, text_of
from deepaas.model.loading import ModelRef, batching, response_fields
from deepaas.model.mistakes import find_mistakes
from deepaas.model.places import defined_at, raised_at

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
        self._target = ref.target
        self._reading: asyncio.Future[Any] | None = None
        self.model = self._load(ref, shared)
        self.folder = ref.folder()
        """The folder of the author's files."""
        self.predict_args = self._arguments("predict")
        self.train_args = self._arguments("train")
        self.has_predict = any(map(self._method, ("predict", "predict_batch")))
        self.has_train = self._method("train") is not None
        try:
            for warning in find_mistakes(
                self.model, predict=self.predict_args, train=self.train_args
            ):
                logger.warning("%s: %s", self.name, warning)
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
            place = raised_at(error, self._target)
            raise self._error(f"schema: {cause}{place}") from error

    def _load(self, ref: ModelRef, shared: bool) -> Any:
        try:
            return ref.load(shared=shared)
        except authors_errors_or_exit() as error:
            place = raised_at(error, ref.target)
            cause = f"{ref.target} does not load: {named(error)}{place}"
            raise self._error(cause) from error

    def _arguments(self, method: str) -> Arguments:
        """Read the arguments of a method: the author's, else its annotations."""
        name = f"get_{method}_args"
        function = self._method(name)
        try:
            with contextlib.suppress(NotImplementedError):
                if function is not None:
                    return Arguments(function())
            name, function = method, self._method(method)
            annotated = read_annotations(function)
            if annotated is None:
                return Arguments({})
            return Arguments(annotated.fields, annotated.description)
        except authors_errors_or_exit() as error:
            place = raised_at(error, self._target) or defined_at(function)
            raise self._error(f"{name}: {named(error)}{place}") from error

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
