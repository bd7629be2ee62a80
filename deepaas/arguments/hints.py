"""Hints: keys of a field's metadata by which an author tells a form how to show it.

None of them changes which values a call takes. A value that cannot be used is ignored,
with a reason: a model may have metadata of its own under these names.
"""

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow.fields import Field

WIDGETS = ("slider", "textarea", "color")

_MEDIA = re.compile(r"[\w.+-]+/([\w.+-]+|\*)|\.[\w+-]+(\.[\w+-]+)*")
"""A media type, a range such as `image/*`, or a suffix such as `.nii.gz`."""


@dataclass(frozen=True)
class Hints:
    """The hints of an argument; None for those that its author leaves out."""

    title: str | None = None
    unit: str | None = None
    widget: str | None = None
    order: float | None = None
    advanced: bool | None = None
    media: tuple[str, ...] = ()
    """Media types, ranges and suffixes of the files that it takes."""
    examples: tuple[Any, ...] = ()
    """Values that fit, or, for a file, paths within the author's package."""
    ignored: tuple[str, ...] = ()
    """A sentence for each value that cannot be used."""


def read_hints(field: Field, *, is_file: bool) -> Hints:
    """Read the hints of a field; a list of files may have them at its items."""
    inner = getattr(field, "inner", None)
    metadata = {**(inner.metadata if is_file and inner else {}), **field.metadata}
    found: dict[str, Any] = {}
    ignored = []
    for key, (fits, read, expected) in _read_by(is_file).items():
        value = metadata.get(key)
        if value is None:
            continue
        if fits(value):
            found[key] = read(value)
        else:
            ignored.append(f"{key!r} is ignored: it has to be {expected}.")
    return Hints(**found, ignored=tuple(ignored))


_Reader = tuple[Callable[[Any], bool], Callable[[Any], Any], str]
"""A check of a value, its reader, and a description of the values that fit."""


def _read_by(is_file: bool) -> Mapping[str, _Reader]:
    text: _Reader = (_is_text, str, "a text")
    readers: dict[str, _Reader] = {
        "title": text,
        "unit": text,
        "widget": (_is_widget, str, f"one of {', '.join(WIDGETS)}"),
        "order": (_is_number, lambda value: value, "a number"),
        "advanced": (lambda value: isinstance(value, bool), bool, "True or False"),
        "examples": (_is_list, tuple, "a list"),
    }
    if is_file:
        paths = "a list of paths of files"
        readers["examples"] = (_are_paths, lambda v: tuple(map(os.fspath, v)), paths)
        media = "a media type such as 'image/*', a suffix such as '.nii.gz', or a list"
        readers["media"] = (_are_media, _listed, media)
    return readers


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_widget(value: Any) -> bool:
    return isinstance(value, str) and value in WIDGETS


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _are_paths(value: Any) -> bool:
    return _is_list(value) and all(isinstance(v, str | os.PathLike) for v in value)


def _listed(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _are_media(value: Any) -> bool:
    return isinstance(value, str | list | tuple) and all(
        isinstance(one, str) and _MEDIA.fullmatch(one) for one in _listed(value)
    )
