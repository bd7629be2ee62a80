"""ModelAdapter: a loaded model as the server sees it."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from deepaas.arguments import Arguments
from deepaas.encoding import encode_json
from deepaas.errors import StartError
from deepaas.model.loading import ModelRef, response_fields

logger = logging.getLogger(__name__)


class ModelAdapter:
    """What a model says of itself. It computes elsewhere, in an executor.

    Raises StartError, naming the model and the cause, when the model cannot be served.
    """

    def __init__(self, ref: ModelRef) -> None:
        self.name = ref.name
        self._model = self._load(ref)
        self.predict_args = self._arguments("get_predict_args")
        self.train_args = self._arguments("get_train_args")
        self.has_predict = self._method("predict") is not None
        self.has_train = self._method("train") is not None
        try:
            self.response = response_fields(self._model)
        except TypeError as error:
            raise self._error(str(error)) from error

    def _load(self, ref: ModelRef) -> Any:
        try:
            return ref.load()
        except (Exception, SystemExit) as error:
            raise self._error(
                f"{ref.target} does not load: {type(error).__name__}: {error}"
            ) from error

    def _arguments(self, method: str) -> Arguments:
        get = self._method(method)
        try:
            return Arguments(get() if get is not None else {})
        except NotImplementedError:
            return Arguments({})
        except Exception as error:
            raise self._error(f"{method}: {type(error).__name__}: {error}") from error

    def _method(self, name: str) -> Any:
        method = getattr(self._model, name, None)
        if method is not None and not callable(method):
            raise self._error(f"{name} is not a function, but {method!r}")
        return method

    def _error(self, cause: str) -> StartError:
        return StartError(f"The model {self.name!r} cannot be served: {cause}")

    async def metadata(self) -> Mapping[str, Any]:
        """Read the model's metadata afresh, off the event loop.

        A model that fails at it is described by its name.
        """
        get = self._method("get_metadata")
        described: Any = None
        if get is not None:
            try:
                described = await asyncio.to_thread(get)
                encode_json(described)
            except NotImplementedError:
                pass
            except Exception:
                logger.warning("%s: get_metadata failed", self.name, exc_info=True)
                described = None
        if not isinstance(described, Mapping):
            described = {"description": f"The model {self.name}."}
        return {"id": self.name, "name": self.name, **described}
