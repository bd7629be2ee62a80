"""ServedModel: a model as routes and services see it, without the author's code."""

import asyncio
import json
import logging
import pickle
from collections.abc import Mapping
from typing import Any, TypeAlias

from deepaas.arguments import Argument, Arguments
from deepaas.arguments.crossing import unpack_definition
from deepaas.errors import DeepaasError
from deepaas.executors import Executor
from deepaas.model.description import (
    ArgumentsDescription,
    ModelDescription,
    default_metadata,
)
from deepaas.negotiation import Negotiation

logger = logging.getLogger(__name__)

METADATA_SECONDS = 10.0
"""Seconds for which a caller waits for a model that describes itself."""

KNOWN_METADATA_SECONDS = 1.0
"""The same where an older answer is known."""


class RemoteArguments:
    """The arguments of a method that only the author's code can load."""

    def __init__(self, described: ArgumentsDescription) -> None:
        self.items = described.items
        self.negotiation: Negotiation | None = described.negotiation
        self.by_name = names_of(described.items)
        self.takes_cookies = described.takes_cookies


ServedArguments: TypeAlias = Arguments | RemoteArguments


class ServedModel:
    """A model, by its name and the executor that runs its calls."""

    def __init__(self, name: str, executor: Executor) -> None:
        self.name = name
        self.executor = executor
        self._known: ModelDescription | None = None
        self._arguments: dict[str, ServedArguments] = {}
        self._reading: asyncio.Task[bytes] | None = None
        self._metadata: Mapping[str, Any] | None = None

    @property
    def description(self) -> ModelDescription:
        """Return what the model is now: another one when it has been read again."""
        description = self.executor.description
        if description is not self._known:
            self._take(description)
        return description

    def arguments(self, method: str) -> ServedArguments:
        """Return the arguments of `predict` or `train`."""
        if self.executor.description is not self._known:
            self._take(self.executor.description)
        return self._arguments[method]

    def has(self, method: str) -> bool:
        """Tell whether the model has `predict` or `train`."""
        description = self.description
        return description.has_predict if method == "predict" else description.has_train

    def warn(self) -> None:
        """Log what its author should know, once."""
        self.arguments("predict")

    async def documented(self) -> ModelDescription:
        """Return it with its documents, as `Executor.documented` describes."""
        return await self.executor.documented()

    def _take(self, description: ModelDescription) -> None:
        before = () if self._known is None else self._known.warnings
        for warning in description.warnings:
            if warning not in before:
                logger.warning("%s", warning)
        self._arguments = {
            method: _arguments(self.name, description.arguments(method))
            for method in ("predict", "train")
        }
        self._known = description

    async def metadata(self) -> Mapping[str, Any]:
        """Read the model's metadata again; return what is known while that takes long.

        Requests that come while it is read share the answer. A model that fails at it,
        or takes too long the first time, is described by its name.
        """
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self.executor.metadata())
            self._reading.add_done_callback(self._note_metadata)
        known = self._metadata
        timeout = METADATA_SECONDS if known is None else KNOWN_METADATA_SECONDS
        await asyncio.wait([self._reading], timeout=timeout)
        if not self._reading.done():
            logger.warning("%s: get_metadata takes too long", self.name)
        if self._metadata is not None:
            return self._metadata
        return default_metadata(self.name)

    def _note_metadata(self, reading: "asyncio.Task[bytes]") -> None:
        if reading.cancelled():
            return
        try:
            self._metadata = json.loads(reading.result() or b"null") or self._metadata
        except DeepaasError as error:
            logger.warning("%s: get_metadata failed: %s", self.name, error)


def names_of(items: "tuple[Argument, ...]") -> Mapping[str, Argument]:
    """Return arguments by all the names that callers may use."""
    lists = {f"{item.name}[]": item for item in items if item.is_list}
    return {**lists, **{item.name: item for item in items}}


def _arguments(model: str, described: ArgumentsDescription) -> ServedArguments:
    if described.definition is not None:
        try:
            return unpack_definition(described.definition)
        except (pickle.UnpicklingError, AttributeError, TypeError) as error:
            # The worker has other versions of the libraries.
            logger.warning("%s: arguments are loaded in a worker: %s", model, error)
    return RemoteArguments(described)
