"""JSON of whatever a scientist returns: numpy, dates, sets, NaN."""

import dataclasses
import datetime
import decimal
import enum
import json
import math
import uuid
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import orjson


class NoJSONForm(TypeError):
    """A value that has no JSON form; the message names its type and where it is."""


def encode_json(value: Any) -> bytes:
    """Encode a value as JSON in UTF-8.

    numpy arrays and scalars, dates, times, UUID, Enum, set, tuple and dataclass have
    the form that one expects; Decimal and paths are strings; NaN and infinities are
    null. Raises NoJSONForm for the rest.
    """
    try:
        return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)
    except (TypeError, RecursionError):
        # The slow way takes what orjson does not (keys of any type, integers over 64
        # bits), and knows where it is when it meets what nothing takes.
        return json.dumps(_simplify(value, ""), separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    """Return a form of the value that is nearer to JSON."""
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, decimal.Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if callable(tolist := getattr(value, "tolist", None)):
        return tolist()  # numpy, and those that follow it: torch, pandas, jax
    if isinstance(value, tuple):
        return list(value)
    raise NoJSONForm(f"{type(value).__name__} has no JSON form")


def _simplify(value: Any, where: str, depth: int = 0) -> Any:
    if depth > 200:
        raise NoJSONForm(f"nested too deeply for JSON, at {where[:60]}...")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, enum.Enum):
        return _simplify(value.value, where, depth + 1)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {
            _key(key): _simplify(
                item, f"{where}.{key}" if where else f"{key}", depth + 1
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [
            _simplify(item, f"{where}[{index}]", depth + 1)
            for index, item in enumerate(value)
        ]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return _simplify(fields, where, depth + 1)
    try:
        plain = _plain(value)
    except NoJSONForm as error:
        raise NoJSONForm(f"{error}, at {where}" if where else str(error)) from None
    if type(plain) is type(value):
        raise NoJSONForm(f"{type(value).__name__} has no JSON form, at {where}")
    return _simplify(plain, where, depth + 1)


def _key(key: Any) -> str:
    """Return a dict's key as JSON wants it: as text."""
    simple = _simplify(key, "a key of a dict")
    return simple if isinstance(simple, str) else json.dumps(simple)
