"""The arguments of a method as tensors of the Open Inference Protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deepaas.tensors.specs import Signature

if TYPE_CHECKING:
    from deepaas.arguments.definition import Argument

ACCEPT = "accept"
"""The argument by which a caller chooses a media type; it is not a tensor."""


def read_signature(items: Iterable[Argument]) -> Signature:
    """Returns the arguments of a method as tensors."""
    items = list(items)
    tensors = [item for item in items if item.attribute != ACCEPT]
    accept = (item.name for item in items if item.attribute == ACCEPT)
    return Signature(
        specs={item.name: item.tensor for item in tensors},
        optional=frozenset(item.name for item in tensors if not item.required),
        media_types={
            item.name: item.media[0]
            for item in tensors
            if item.is_file and len(item.media) == 1 and "/" in item.media[0]
        },
        accept=next(accept, None),
    )
