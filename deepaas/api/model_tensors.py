"""Describes models as the Open Inference Protocol does: versions, inputs, outputs."""

import functools
from collections.abc import Mapping
from typing import Any

from deepaas.arguments.tensors import read_signature
from deepaas.served import ServedArguments, ServedModel
from deepaas.tensors.specs import Signature, TensorSpec

PLATFORM = "deepaas"

EXTENSIONS = ("binary_tensor_data", "parameters")
"""The extensions of the protocol that this server has, by Triton's names."""


@functools.lru_cache(maxsize=256)
def signature_of(arguments: ServedArguments) -> Signature:
    """Returns the arguments of a method as tensors."""
    return read_signature(arguments.items)


class ModelTensors:
    """The descriptions of the models that are served."""

    def __init__(self) -> None:
        self._versions: dict[str, str] = {}
        """The versions that have been read, by model; empty for none."""

    def signature(self, model: ServedModel) -> Signature:
        """Returns the inputs of a model."""
        return signature_of(model.arguments("predict"))

    def outputs(self, model: ServedModel) -> Mapping[str, TensorSpec]:
        """Returns the outputs that a model declares."""
        return dict(model.description.outputs)

    async def version(self, model: ServedModel) -> str | None:
        """Returns the version of a model, None if it has none.

        The author's code is asked once, not for each call.
        """
        name = model.name
        if name not in self._versions:
            self._keep_version(name, await model.metadata())
        return self._versions[name] or None

    def _keep_version(self, name: str, metadata: Mapping[str, Any]) -> None:
        version = metadata.get("version")
        self._versions[name] = "" if version is None else str(version)

    async def describe(self, model: ServedModel) -> dict[str, Any]:
        """Returns the keys that the protocol has for a model, without its name."""
        version = await self.version(model)
        batched = model.description.batched
        return {
            **({} if version is None else {"versions": [version]}),
            "platform": PLATFORM,
            "inputs": self.signature(model).describe(batched=batched),
            "outputs": [
                spec.describe(name, batched=batched)
                for name, spec in self.outputs(model).items()
            ],
        }
