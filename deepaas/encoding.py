"""JSON of the values that scientists return: numpy, dates, sets, NaN."""

import base64
import dataclasses
import datetime
import decimal
import enum
import io
import json
import math
import sys
import uuid
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import orjson

from deepaas.errors import authors_errors

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS

SCALARS = (
    int,
    float,
    datetime.datetime,
    datetime.date,
    datetime.time,
    uuid.UUID,
)
"""Types of single values that `_simplify` writes by itself."""

MAX_TEXT_CHARS = 1000
"""Characters of a value's text that stand for it where it has no JSON form."""


@dataclasses.dataclass(frozen=True)
class JSONText:
    """A value that is encoded already, and goes into what is encoded as it is."""

    text: str


class NoJSONForm(TypeError):
    """A value that has no JSON form; the message names its type and where it is."""


def encode_json(value: Any) -> bytes:
    """Encode a value as JSON in UTF-8.

    numpy arrays and scalars, dates, times, UUID, Enum, set, tuple, dataclass and
    pydantic model have their usual form; Decimal and paths are strings; a timedelta is
    seconds; a data frame is a list of records; a picture of Pillow is PNG in base64;
    NaN, NaT and infinities are null. Raises NoJSONForm for other values.
    """
    try:
        return orjson.dumps(value, default=_plain, option=OPTIONS)
    except (TypeError, RecursionError):
        # The slow way takes what orjson does not (keys of any type, integers over 64
        # bits), and knows where it is when it meets what nothing takes.
        return json.dumps(_simplify(value, ""), separators=(",", ":")).encode()


def iso_date(seconds: float) -> str:
    """Return a time, in seconds since the epoch, as a date in UTC (ISO 8601)."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds")


def describe_json(value: Any) -> bytes:
    """Encode a value as JSON, with a text in place of parts without a JSON form."""
    try:
        return encode_json(value)
    except authors_errors():  # an author's own class may raise anything
        try:
            simple = _simplify(value, "", otherwise=_describe)
            return json.dumps(simple, separators=(",", ":")).encode()
        except authors_errors():
            return json.dumps(_describe(value)).encode()


def _describe(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return f"<{type(value).__name__} of {memoryview(value).nbytes} bytes>"
    try:
        return repr(value)[:MAX_TEXT_CHARS]
    except authors_errors():
        return f"<{type(value).__name__}>"


def _plain(value: Any) -> Any:
    """Return a form of the value that is nearer to JSON."""
    if isinstance(value, JSONText):
        return orjson.Fragment(value.text)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, decimal.Decimal):
        return str(value) if value.is_finite() else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return _iso(value)
    if getattr(getattr(value, "dtype", None), "kind", "") == "m":
        return value.astype("timedelta64[us]").tolist()  # of ns it would be integers
    if callable(tolist := getattr(value, "tolist", None)):
        return tolist()  # numpy, and those that follow it: torch, pandas, jax
    if isinstance(value, tuple):
        return list(value)
    if (nearer := _plain_of_library(value)) is not value:
        return nearer
    raise NoJSONForm(f"{type(value).__name__} has no JSON form")


def _iso(value: datetime.datetime | datetime.date | datetime.time) -> str | None:
    # pandas' NaT is a datetime that does not equal itself.
    return value.isoformat() if value == value else None


def _plain_of_library(value: Any) -> Any:
    """Return a nearer form of an object of pandas, Pillow or pydantic, else the value.

    Imports none of them: a library that is not imported has no objects.
    """
    kind = type(value)
    if hasattr(kind, "model_dump"):
        return _plain_of_pydantic(value)
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):  # pydantic 1
        return value.dict()
    if (png := encode_png(value)) is not None:
        return base64.b64encode(png).decode()
    if isinstance(value, _class("pandas", "DataFrame")):
        if not value.columns.is_unique:
            raise NoJSONForm(f"{kind.__name__} with two columns of one name")
        return value.to_dict(orient="records")
    if value is getattr(sys.modules.get("pandas"), "NA", None):
        return None
    dated = (_class("pandas", "Period"), _class("pandas", "Interval"))
    return str(value) if isinstance(value, dated) else value


def _class(module: str, name: str) -> Any:
    """Return a class for isinstance(), or nothing if its module is not imported."""
    found = getattr(sys.modules.get(module), name, None)
    return found if isinstance(found, type) else ()


def _plain_of_pydantic(value: Any) -> Any:
    try:
        return value.model_dump(mode="json")
    except ValueError:  # it holds what pydantic cannot encode, such as an array
        return value.model_dump()


def encode_png(value: Any) -> bytes | None:
    """Return a picture of Pillow as PNG; None for any other value.

    Raises OSError for a kind of picture that PNG cannot hold.
    """
    if not isinstance(value, _class("PIL.Image", "Image")):
        return None
    if value.mode in ("CMYK", "HSV", "YCbCr"):
        value = value.convert("RGB")
    file = io.BytesIO()
    value.save(file, format="PNG")
    return file.getvalue()


def _simplify(
    value: Any,
    where: str,
    depth: int = 0,
    *,
    otherwise: Callable[[Any], Any] | None = None,
) -> Any:
    """Make a value of what JSON knows, with `otherwise` for what has no such form."""

    def inside(item: Any, place: str) -> Any:
        return _simplify(item, place, depth + 1, otherwise=otherwise)

    if depth > 200:
        raise NoJSONForm(f"nested too deeply for JSON, at {where[:60]}...")
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, enum.Enum):
        return inside(value.value, where)
    if isinstance(value, SCALARS):
        return _simplify_scalar(value)
    if isinstance(value, Mapping):
        return {
            _key(key): inside(item, f"{where}.{key}" if where else f"{key}")
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [inside(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, JSONText):
        return json.loads(value.text)
    try:
        plain = _plain_at(value, where)
    except authors_errors():
        if otherwise is None:
            raise
        return otherwise(value)
    return inside(plain, where)


def _simplify_scalar(value: Any) -> Any:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, uuid.UUID) else _iso(value)


def _plain_at(value: Any, where: str) -> Any:
    """Return the plain form of a value. Raises NoJSONForm, naming its place."""
    try:
        plain = _plain(value)
    except NoJSONForm as error:
        raise NoJSONForm(f"{error}, at {where}" if where else str(error)) from None
    if type(plain) is type(value):
        raise NoJSONForm(f"{type(value).__name__} has no JSON form, at {where}")
    return plain


def _key(key: Any) -> str:
    """Return a dict's key as JSON wants it: as text."""
    simple = _simplify(key, "a key of a dict")
    return simple if isinstance(simple, str) else json.dumps(simple)
