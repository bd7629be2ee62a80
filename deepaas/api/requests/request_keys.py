"""The header Idempotency-Key: a request that is sent again gives the same job."""

import asyncio
import hashlib
import re
from typing import Any

from aiohttp import web

from deepaas.encoding import describe_json
from deepaas.errors import DeepaasError
from deepaas.jobs.records import RequestKey
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.predictions import Values

# https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
NAME = "Idempotency-Key"

PATTERN = "^[!-~]{1,255}$"
"""A key: printable characters of ASCII without spaces."""

READ_BYTES = 1024 * 1024
"""Bytes of a file that are read at once."""

ROUNDS = 10_000
"""Makes it slow to guess a password from the fingerprint that is stored."""


async def read_key(request: web.Request, given: Values) -> RequestKey | None:
    """Returns the key of a request, with the fingerprint of its values; None without.

    Raises an error with status 400 for a key that cannot be one.
    """
    if NAME not in request.headers:
        return None
    texts = request.headers.getall(NAME)
    if len(texts) > 1 or not re.fullmatch(PATTERN.strip("^$"), texts[0]):
        raise DeepaasError(
            f"{NAME} is one text of 1 to 255 printable ASCII characters, no spaces.",
            status=400,
        )
    fingerprint = await asyncio.to_thread(_fingerprint, texts[0], given)
    return RequestKey(texts[0], fingerprint)


def _fingerprint(key: str, given: Values) -> str:
    """Returns 64 hexadecimal digits, which are equal for equal values."""
    values = {name: _plain(given.values[name]) for name in sorted(given.values)}
    parts: list[Any] = [values, given.accept]
    if given.file is not None:
        parts.append([given.file.charset, _content(given.file.path)])
    text = describe_json(parts)
    return hashlib.pbkdf2_hmac("sha256", text, key.encode(), ROUNDS).hex()


def _plain(value: Any) -> Any:
    """Returns a value with the content of files in place of their paths."""
    if isinstance(value, UploadedFile):
        assert value.filename is not None
        content = _content(value.filename)
        return [value.original_filename, value.content_type, content]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _content(path: str) -> str:
    """Returns the SHA-256 of a file."""
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(READ_BYTES):
            content.update(piece)
    return content.hexdigest()
