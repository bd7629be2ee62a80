"""ModelDescription: what the server knows of a model. It holds no code of the author's.

It is made where the model is loaded, and crosses to the server as bytes.
"""

import io
import pickle
from dataclasses import dataclass
from typing import Any

from deepaas.arguments.definition import Argument
from deepaas.negotiation import Negotiation
from deepaas.tensors.specs import TensorSpec


@dataclass(frozen=True)
class ArgumentsDescription:
    """The arguments of a method."""

    items: tuple[Argument, ...]
    negotiation: Negotiation | None
    takes_cookies: bool
    definition: bytes | None
    """For `unpack_definition`; None for one that only the author's code can load."""
    description: str | None = None
    """The docstring of a method whose annotations are its arguments."""


@dataclass(frozen=True)
class ExampleFile:
    """A file that the author names to try an argument with."""

    method: str
    argument: str
    path: str | None
    """None for one that cannot be served."""


@dataclass(frozen=True)
class ModelDescription:
    """A model as routes, documents and services see it."""

    name: str
    has_predict: bool
    has_train: bool
    has_response: bool
    """Its predictions are validated with a schema."""
    batched: bool
    """It computes many calls at once."""
    outputs: tuple[tuple[str, TensorSpec], ...]
    """The tensors that its schema declares, by name, in order."""
    predict: ArgumentsDescription
    train: ArgumentsDescription
    examples: tuple[ExampleFile, ...] = ()
    """In the order in which they are numbered."""
    warnings: tuple[str, ...] = ()
    """Sentences for the log, on what of the declarations is ignored."""
    documents: bytes | None = None
    """The bytes that `write_fragments` wrote; None if not asked for."""

    def arguments(self, method: str) -> ArgumentsDescription:
        """Return the arguments of `predict` or `train`."""
        return self.predict if method == "predict" else self.train

    def pack(self) -> bytes:
        """Return it as bytes for `unpack_description`."""
        return pickle.dumps(self, protocol=5)


def default_metadata(name: str) -> dict[str, Any]:
    """Return the metadata of a model that does not describe itself."""
    return {"id": name, "name": name, "description": f"The model {name}."}


def unpack_description(packed: bytes) -> ModelDescription:
    """Return a description that has crossed. Imports nothing but these classes.

    Raises UnpicklingError for anything else.
    """
    description: ModelDescription = _Unpickler(io.BytesIO(packed)).load()
    return description


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        cls = _CLASSES.get((module, name))
        if cls is None:
            raise pickle.UnpicklingError(f"{module}.{name} is in no description")
        return cls


_CLASSES = {
    (cls.__module__, cls.__qualname__): cls
    for cls in (
        *(Argument, ArgumentsDescription, ExampleFile, ModelDescription, Negotiation),
        TensorSpec,
    )
}
