"""The tensors that a model takes: one for each argument."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepaas.errors import BadBody

BASE64 = "base64"
JSON = "json"
TEXT = "str"
"""Contents of BYTES, in the words of MLServer."""

FILE = BASE64
"""The content of files. No other argument has it."""


@dataclass(frozen=True)
class TensorSpec:
    """The tensor of an argument, or of an output that a model declares."""

    datatype: str
    rank: int = 0
    """Dimensions of one value: 0 for a single element."""
    content_type: str | None = None
    """The content of the elements of BYTES; None for numbers and truth values."""

    @property
    def is_file(self) -> bool:
        """Tells whether its elements are files."""
        return self.content_type == FILE

    def describe(
        self, name: str, *, batched: bool = False, optional: bool = False
    ) -> dict[str, Any]:
        """Describes the tensor as metadata of a model do.

        `batched` says that the model computes many values at once, so that tools send
        batches.
        """
        shape = [-1] * self.rank or [1]
        parameters: dict[str, Any] = {}
        if self.content_type is not None:
            parameters["content_type"] = self.content_type
        if optional:
            parameters["optional"] = True
        return {
            "name": name,
            "datatype": self.datatype,
            "shape": [-1, *shape] if batched else shape,
            **({"parameters": parameters} if parameters else {}),
        }


@dataclass(frozen=True)
class Signature:
    """The arguments of a model as tensors, by the callers' names."""

    specs: Mapping[str, TensorSpec]
    optional: frozenset[str] = frozenset()
    """Arguments that a call may leave out."""
    media_types: Mapping[str, str] = field(default_factory=dict)
    """Media types of the files of an argument, where its author gives one."""
    accept: str | None = None
    """The argument by which callers choose a media type; it is not a tensor."""

    def find(self, name: str) -> TensorSpec:
        """Returns the tensor of an input. Raises BadBody if there is none."""
        try:
            return self.specs[name]
        except KeyError:
            known = ", ".join(self.specs) or "none"
            raise BadBody(
                f"The model has no input {name!r}; these are its inputs: {known}."
            ) from None

    def describe(self, *, batched: bool) -> list[dict[str, Any]]:
        """Describes the inputs as metadata of a model do."""
        described = []
        for name, spec in self.specs.items():
            optional = name in self.optional
            one = spec.describe(name, batched=batched, optional=optional)
            if name in self.media_types:
                one["parameters"]["media_type"] = self.media_types[name]
            described.append(one)
        return described
