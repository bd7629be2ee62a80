"""PUBLIC: the abstract class that a model may inherit from."""

import abc
from collections.abc import Mapping
from typing import Any


class BaseModel(abc.ABC):
    """The interface of a model.

    Inheriting is optional: any module, class or object with these names will do. A
    class is instantiated without arguments, once in every process.
    """

    schema: Any = None
    """A dict of marshmallow fields or a marshmallow Schema class that every JSON
    prediction must fit; None for no check."""

    @abc.abstractmethod
    def get_metadata(self) -> Mapping[str, Any]:
        """Describe the model: name, author, license, url, version, description."""

    @abc.abstractmethod
    def warm(self) -> None:
        """Load the model. Called in every worker before its first call."""

    @abc.abstractmethod
    def get_predict_args(self) -> Any:
        """Return the arguments of `predict`.

        A dict of webargs fields by name, or a marshmallow Schema, class or instance.
        """

    @abc.abstractmethod
    def predict(self, **kwargs: Any) -> Any:
        """Predict from the arguments that `get_predict_args` defines.

        Returns anything with a JSON form, or a file: bytes, a path, an open file.
        """

    @abc.abstractmethod
    def get_train_args(self) -> Any:
        """Return the arguments of `train`, as `get_predict_args` does."""

    @abc.abstractmethod
    def train(self, **kwargs: Any) -> Any:
        """Train from the arguments that `get_train_args` defines.

        Returns anything with a JSON form.
        """
