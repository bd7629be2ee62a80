"""Its arguments are annotations: it returns each value with the type that it got."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

from marshmallow.validate import Length, Range

from deepaas.model.v2.wrapper import UploadedFile


class Mode(enum.Enum):
    FAST = "fast"
    EXACT = "exact"


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@dataclass
class Box:
    x: Annotated[float, Range(0, 1)]
    mode: Mode = Mode.FAST
    tags: list[str] = field(default_factory=list)

    def __post_init__(self):
        if self.x == 1:
            raise ValueError("x may not be 1")


class Own:
    """A type whose values no caller can give."""


def show(value):
    """Return a value with the names of the types in it."""
    if isinstance(value, UploadedFile):
        return ["UploadedFile", Path(value.filename).read_text()]
    if isinstance(value, set):
        return ["set", *sorted(map(show, value))]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(show, value)]
    if isinstance(value, Path):
        return ["Path", value.read_text(), value.suffix]
    if isinstance(value, dict):
        return {str(key): show(one) for key, one in value.items()}
    return [type(value).__name__, str(value)]


async def predict(
    image: Annotated[UploadedFile, {"media": "text/plain"}, "A file"],
    threshold: Annotated[float, Range(0, 1), "Probability of", "a box"] = 0.5,
    count: Annotated[int, Range(min=1)] = 1,
    mode: Literal["fast", "exact"] = "fast",
    own_mode: Mode = Mode.EXACT,
    level: Level | None = None,
    box: Box = Box(0.5),  # noqa: B008 - it is not changed
    boxes: list[Box] = (),
    scans: Annotated[list[UploadedFile], Length(max=2)] = (),
    notes: Optional[Path] = None,  # noqa: UP045 - authors write both
    numbers: list[list[float]] = [],  # noqa: B006 - it is not changed
    pair: tuple[int, Mode] | None = None,
    labels: set[str] = {"b", "a"},  # noqa: B006
    rates: dict[str, float] = {},  # noqa: B006
    when: datetime.datetime | None = None,
    day: datetime.date = datetime.date(2026, 1, 2),
    run: uuid.UUID | None = None,
    price: decimal.Decimal = decimal.Decimal("1.50"),
    wait: datetime.timedelta = datetime.timedelta(seconds=3),
    anything: Any = None,
    text: str = "",
    dark: bool = False,
    own: Any = Own(),  # noqa: B008
    _internal=7,
):
    """Show what arrives.

    Each value with its type.
    """
    values = dict(locals())
    return {name: show(value) for name, value in values.items()}


def train(
    epochs: Annotated[int, Range(1, 100)],
    data: Path | None = None,
    accept: Literal["a/b"] = "a/b",
):
    """Learn a little."""
    return {"epochs": epochs, "data": data and data.read_text()}
