"""Turns what a model returned into a Reply, in the worker."""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import orjson

from deepaas.encoding import encode_json, encode_png
from deepaas.errors import DiskErrors
from deepaas.executors.messages import Envelope, Reply
from deepaas.media_types import (
    JSON,
    PNG,
    concrete,
    is_json,
    is_media_type,
    without_parameters,
)
from deepaas.model.v2.wrapper import ReturnedFile, UploadedFile

MAX_IN_MEMORY_BYTES = 1024 * 1024
"""Largest file that the worker reads, in bytes; a larger one is sent by its path."""

PART_SUFFIX = ".part"
"""The suffix of a file that is not whole yet."""

CLOCK_SLACK = 0.05
"""Seconds by which a file's time may lag behind the clock: the kernel's tick."""

Validate = Callable[..., dict[str, Any]]


def make_reply(
    value: Any,
    *,
    media_type: str | None,
    validate: Validate | None,
    envelope: Envelope,
    given: Mapping[str, Any],
    started: float,
) -> Reply:
    """Turn a prediction into a reply.

    `media_type` is the caller's choice, None for none; `validate` returns the errors
    of a JSON value by field; `envelope` is for a value without schema; `given` are the
    arguments of the call, whose files keep the callers' names; `started` is the time
    of the call's start, in seconds since the epoch.
    Raises TypeError or ValueError for what cannot be sent.
    """
    if is_file(value):
        return file_reply(value, media_type, given, started)
    if media_type is None or is_json(media_type):
        return Reply(media_type or JSON, _json_body(value, validate, envelope))
    return media_reply(value, media_type)


def media_reply(value: Any, media_type: str) -> Reply:
    """Turn a value other than a file into a reply of a media type that is not JSON.

    Raises TypeError for a value that has no such form.
    """
    if value is None:
        return Reply(concrete(media_type, None), b"")
    if isinstance(value, str):
        return Reply(concrete(media_type, None, text=True), text_bytes(value))
    essence = without_parameters(media_type)
    if essence in (PNG, "image/*") and (png := encode_png(value)) is not None:
        return Reply(PNG, png)
    raise TypeError(f"the model returned a {type(value).__name__} for {media_type}")


def is_file(value: Any) -> bool:
    """Tell whether a value is sent as bytes rather than as JSON."""
    return isinstance(
        value, bytes | bytearray | memoryview | PurePath | ReturnedFile | UploadedFile
    ) or callable(getattr(value, "read", None))


def text_bytes(text: str) -> bytes:
    """Encode a text; a surrogate, which has no place in UTF-8, becomes a `?`."""
    return text.encode(errors="replace")


def _json_body(value: Any, validate: Validate | None, envelope: Envelope) -> bytes:
    body = check(encode_json(value), validate)
    if validate is not None or envelope is Envelope.NONE:
        return body
    if envelope is Envelope.JSON:
        return b'{"status":"OK","predictions":' + body + b"}"
    text = value if isinstance(value, str) else body.decode()
    return encode_json({"status": "OK", "predictions": text})


def check(body: bytes, validate: Validate | None) -> bytes:
    """Return JSON if it fits the model's schema. Raises ValueError."""
    if validate is not None:
        value = orjson.loads(body)
        if errors := validate(value, many=isinstance(value, list)):
            raise ValueError(
                "the model's answer does not fit its schema: "
                + orjson.dumps(errors, option=orjson.OPT_NON_STR_KEYS).decode()
            )
    return body


def file_reply(
    value: Any, media_type: str | None, given: Mapping[str, Any], started: float
) -> Reply:
    """Turn a file into a reply, as `make_reply` does."""
    filename = None
    if isinstance(value, UploadedFile):
        filename = value.original_filename
        value = PurePath(value.filename or "")
    if isinstance(value, ReturnedFile):
        if value.content_type and is_media_type(value.content_type):
            media_type = value.content_type
        filename = value.original_filename
        value = PurePath(value.filename or "")
    if isinstance(value, PurePath):
        value = open(value, "rb")  # noqa: SIM115 - closed with those the model opened
    name = _name(value)
    filename = filename or (name and _download_name(name, given))
    media_type = concrete(media_type, filename)
    if isinstance(value, bytes | bytearray | memoryview):
        return Reply(media_type, bytes(value), filename=filename)
    with contextlib.closing(value):
        return _open_file_reply(value, name, media_type, filename, started)


def _download_name(path: str, given: Mapping[str, Any]) -> str | None:
    """Return the name under which a caller gets a file; an upload keeps its own.

    None for an upload that had no name.
    """
    real = os.path.realpath(path)
    for value in given.values():
        for file in value if isinstance(value, list) else (value,):
            if not isinstance(file, UploadedFile):
                continue
            if real == os.path.realpath(file.filename or ""):
                return file.original_filename
    return os.path.basename(path)


def _open_file_reply(
    file: Any, name: str | None, media_type: str, filename: str | None, started: float
) -> Reply:
    """Send an open file from where it stands.

    A small one is read here. A large one is sent by its path if nothing can change it
    meanwhile: a file that this call wrote may be written again by the next one.
    """
    if _writable(file):
        file.flush()
    path = _same_file(file, name)
    fresh = name is not None and _changed_since(name, started - CLOCK_SLACK)
    ours = name is not None and fresh and _in_temporary_directory(name)
    if path and os.stat(path).st_size > MAX_IN_MEMORY_BYTES and file.tell() == 0:
        if not fresh:
            return Reply(media_type, path=path, filename=filename)
        if ours and isinstance(file, io.IOBase):
            owned = _make_file(partial(os.rename, path))
            return Reply(media_type, path=owned, delete=True, filename=filename)
    try:
        return _read(file, path, media_type, filename)
    finally:
        if ours and name:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _read(file: Any, path: str | None, media_type: str, filename: str | None) -> Reply:
    if path and not file.readable():  # opened for writing only
        file = open(path, "rb")  # noqa: SIM115 - closed below
    if isinstance(file, io.TextIOWrapper) and path and file.tell() == 0:
        file = file.buffer  # the bytes of a file are sent, also of one in text mode
    with contextlib.closing(file):
        if isinstance(file, io.BytesIO):
            return Reply(media_type, file.read(), filename=filename)
        body = _bytes(file.read(MAX_IN_MEMORY_BYTES + 1))
        if len(body) <= MAX_IN_MEMORY_BYTES:
            # An unbuffered file may give less than it has.
            while len(body) <= MAX_IN_MEMORY_BYTES and (
                more := _bytes(file.read(MAX_IN_MEMORY_BYTES))
            ):
                body += more
        if len(body) <= MAX_IN_MEMORY_BYTES:
            return Reply(media_type, body, filename=filename)
        owned = _make_file(partial(_copy, file, body))
    return Reply(media_type, path=owned, delete=True, filename=filename)


def _copy(file: Any, body: bytes, path: str) -> None:
    """Write what was read of a file, and what is still to be read."""
    with open(path, "wb") as copy:
        while body:
            copy.write(body)
            body = _bytes(file.read(MAX_IN_MEMORY_BYTES))


def _bytes(data: Any) -> bytes:
    if data is None:
        return b""
    return text_bytes(data) if isinstance(data, str) else bytes(data)


def _name(value: Any) -> str | None:
    name = getattr(value, "name", None)
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else None


def _same_file(file: Any, name: str | None) -> str | None:
    """Return the path whose bytes are those of the open file, if there is one."""
    plain = getattr(file, "file", file)  # tempfile wraps the real one
    while not isinstance(plain, io.FileIO):
        inner = getattr(plain, "buffer", None) or getattr(plain, "raw", None)
        if inner is None:
            return None  # a pipe, an archive's member, a decompressing reader
        plain = inner
    try:
        same = name and os.path.samestat(os.fstat(plain.fileno()), os.stat(name))
    except OSError:
        return None
    return os.path.abspath(name) if name and same else None


def _changed_since(path: str, moment: float) -> bool:
    try:
        return os.stat(path).st_ctime >= moment
    except OSError:
        return False


def _writable(file: Any) -> bool:
    writable = getattr(file, "writable", None)
    return bool(writable and writable())


def _in_temporary_directory(path: str) -> bool:
    folder = os.path.realpath(tempfile.gettempdir())
    return os.path.realpath(path).startswith(folder + os.sep)


def _make_file(fill: Callable[[str], None]) -> str:
    """Return the path of a file that `fill` has filled, for the server to delete.

    Until it is whole its name says whose it is. Raises NoSpace.
    """
    with DiskErrors():
        prefix = f"deepaas-{os.getpid()}-"
        handle, part = tempfile.mkstemp(prefix=prefix, suffix=PART_SUFFIX)
        os.close(handle)
        try:
            fill(part)
            owned = part.removesuffix(PART_SUFFIX)
            os.rename(part, owned)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(part)
            raise
    return owned


def remove_unfinished(pid: int) -> None:
    """Delete the unfinished files of a killed worker."""
    for path in Path(tempfile.gettempdir()).glob(f"deepaas-{pid}-*{PART_SUFFIX}"):
        path.unlink(missing_ok=True)
