"""Shapes: the descriptions of values in the documents, in no version of OpenAPI.

A shape is a marshmallow Schema, a `Named` or `ListOf` one, an `Answer`, a JSON Schema,
or None for a value without a description.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import marshmallow

TITLE = "deepaas"
DESCRIPTION = "Machine learning models behind a REST API."


@dataclass(frozen=True)
class Named:
    """A schema with a name of ours; `owner` tells it from others of that name."""

    schema: marshmallow.Schema
    name: str
    owner: str


@dataclass(frozen=True)
class ListOf:
    """An array of values of one schema."""

    item: type[marshmallow.Schema]


@dataclass(frozen=True)
class Answer:
    """The answer of a model, whose schema was written where the model is loaded."""

    model: str


Shape: TypeAlias = (
    "type[marshmallow.Schema] | marshmallow.Schema | Named | ListOf | Answer"
    " | Mapping[str, Any] | None"
)
