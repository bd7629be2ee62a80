"""Reads a request for inference: its JSON, the bytes of tensors, and files."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, TypeVar

from aiohttp import web

from deepaas.api.requests.bodies import BodyErrors, Chunks, read_small
from deepaas.api.requests.uploads import Uploads
from deepaas.config import Settings
from deepaas.errors import BadBody, BodyTooLarge
from deepaas.model.v2.wrapper import UploadedFile
from deepaas.tensors.inputs import (
    Rows,
    arrange,
    check_kind,
    make_rows,
    read_elements,
)
from deepaas.tensors.raw import raw_file, raw_name, raw_tensor
from deepaas.tensors.request import HEADER, InferRequest, Input, parse
from deepaas.tensors.specs import BASE64, Signature, TensorSpec

MAX_TENSOR_BYTES = 64 * 1024 * 1024
"""Bytes of tensors that a request may have beside files and its JSON."""

MAX_FILES = 1000
"""Files that the tensors of a request may hold."""

MAX_UNTHREADED_BYTES = 64 * 1024
"""Bytes of a body up to which its tensors are read on the event loop."""

_LENGTH = struct.Struct("<I")

T = TypeVar("T")


class _File(NamedTuple):
    """The description of a file, as `Uploads` takes it."""

    name: str
    filename: str | None
    content_type: str | None


class Inference(NamedTuple):
    """A request for inference that has been read."""

    request: InferRequest
    rows: Rows
    large: bool
    """Its values take long to validate."""


class TensorParsing(AbstractAsyncContextManager[Inference]):
    """The tensors of a request; its files are removed at the end.

    Raises BadBody, BodyTooLarge, NoSpace, UnsupportedMediaType.
    """

    def __init__(
        self, request: web.Request, signature: Signature, settings: Settings
    ) -> None:
        self._request = request
        self._signature = signature
        self._source = _Source(request, settings.client_max_size)
        self._uploads = Uploads()

    async def __aenter__(self) -> Inference:
        try:
            with BodyErrors():
                return await self._read()
        except BaseException:
            await self._uploads.remove()
            raise

    def hand_over(self) -> Uploads:
        """Returns the files, which the caller is to remove now."""
        files, self._uploads = self._uploads, Uploads()
        return files

    async def __aexit__(self, *error: object) -> None:
        if self._uploads.files:
            await self._uploads.remove()

    async def _read(self) -> Inference:
        given = self._request.headers.get(HEADER)
        if (small := self._read_small(given)) is not None:
            return small
        if given is None:
            text = await self._source.rest()
            head = await self._run(len(text), lambda: parse(text, whole=True))
            del text
        elif length := _read_length(given):
            json = await self._source.take(length, "the JSON of the body")
            head = await self._run(length, lambda: parse(json))
        else:
            return await self._read_raw()
        self._check(head)
        tails, files = await self._read_tails(head)
        return await self._collect(head, tails, files)

    def _read_small(self, given: str | None) -> Inference | None:
        """Reads a small body in one step, as most are; None for any other.

        None also for files, for a body without JSON, and for one that is too short or
        too long: these are read again, step by step.
        """
        body = self._source.small
        if body is None:
            return None
        end = len(body) if given is None else _read_length(given)
        if not 0 < end <= len(body):
            return None
        head = parse(body[:end], whole=given is None)
        tails = {}
        for one in head.inputs:
            if self._signature.find(one.name).is_file:
                return None
            if one.size is not None:
                tails[one.name] = body[end : end + one.size]
                end += one.size
        if end != len(body):
            return None
        return Inference(head, self._read_rows(head, tails, {}), False)

    def _check(self, head: InferRequest) -> None:
        """Refuses inputs that do not fit before their bytes are read."""
        for one in head.inputs:
            check_kind(one, self._signature.find(one.name))
        in_memory = sum(one.size or 0 for one in head.inputs if not self._streams(one))
        if in_memory > MAX_TENSOR_BYTES:
            raise BodyTooLarge(
                f"The tensors have {in_memory} bytes without files; "
                f"{MAX_TENSOR_BYTES} is the limit."
            )

    def _spec(self, given: Input) -> TensorSpec:
        return self._signature.specs[given.name]

    def _streams(self, given: Input) -> bool:
        """Tells whether the bytes of an input are written to disk as they come."""
        encoded = given.parameters.get("content_type") == BASE64
        return given.size is not None and self._spec(given).is_file and not encoded

    # -- bytes after the JSON

    async def _read_tails(
        self, head: InferRequest
    ) -> tuple[dict[str, bytes], dict[str, list[UploadedFile]]]:
        tails: dict[str, bytes] = {}
        files: dict[str, list[UploadedFile]] = {}
        for one in head.inputs:
            if one.size is None:
                continue
            if self._streams(one):
                files[one.name] = await self._read_files(one, one.size)
            else:
                tails[one.name] = await self._source.take(one.size, one.place)
        await self._source.check_end()
        return tails, files

    async def _read_files(self, given: Input, left: int) -> list[UploadedFile]:
        files = []
        while left:
            if left < _LENGTH.size:
                raise BadBody(f"{given.place} ends within the length of an element.")
            prefix = await self._source.take(_LENGTH.size, given.place)
            size = _LENGTH.unpack(prefix)[0]
            left -= _LENGTH.size + size
            if left < 0:
                raise BadBody(f"{given.place} ends within an element.")
            files.append(await self._store(given, self._source.pieces(size)))
        if len(files) != given.length:
            raise BadBody(
                f"{given.place} has {len(files)} elements; its shape "
                f"{list(given.shape)} makes {given.length}."
            )
        return files

    async def _store(self, given: Input, pieces: AsyncIterator[bytes]) -> UploadedFile:
        """Writes a file. Raises NoSpace, and BodyTooLarge for too many."""
        if len(self._uploads.files) == MAX_FILES:
            raise BodyTooLarge(f"The tensors hold more than {MAX_FILES} files.")
        name, media_type = map(given.text_parameter, ("filename", "media_type"))
        upload = self._uploads.open(_File(given.name, name, media_type))
        async for piece in pieces:
            await upload.write(piece)
        await upload.close()
        return upload.value

    async def _read_raw(self) -> Inference:
        """Reads a body without JSON."""
        name = raw_name(self._signature)
        if self._signature.specs[name].is_file:
            head = raw_file(name)
            file = await self._store(head.inputs[0], self._source.pieces(None))
            return await self._collect(head, {}, {name: [file]})
        body = bytes(await self._source.rest())
        head, tail = raw_tensor(name, self._signature, body)
        self._check(head)
        return await self._collect(head, {name: tail}, {})

    # -- values

    async def _collect(
        self,
        head: InferRequest,
        tails: Mapping[str, bytes],
        files: dict[str, list[UploadedFile]],
    ) -> Inference:
        size = self._source.size
        large = size > MAX_UNTHREADED_BYTES
        stored = [
            one
            for one in head.inputs
            if self._spec(one).is_file and one.name not in files
        ]
        if not stored:
            rows = await self._run(size, lambda: self._read_rows(head, tails, files))
            return Inference(head, rows, large)
        elements = await self._run(size, lambda: self._elements(head, tails, files))
        for one in stored:
            elements[one.name] = [
                await self._store(one, _one_piece(data)) for data in elements[one.name]
            ]
        rows = await self._run(size, lambda: self._rows(head, elements))
        return Inference(head, rows, large)

    def _read_rows(
        self,
        head: InferRequest,
        tails: Mapping[str, bytes],
        files: Mapping[str, list[UploadedFile]],
    ) -> Rows:
        return self._rows(head, self._elements(head, tails, files))

    def _elements(
        self,
        head: InferRequest,
        tails: Mapping[str, bytes],
        files: Mapping[str, list[UploadedFile]],
    ) -> dict[str, Any]:
        return {
            one.name: files[one.name]
            if one.name in files
            else read_elements(one, self._spec(one), tails.get(one.name))
            for one in head.inputs
        }

    def _rows(self, head: InferRequest, elements: Mapping[str, Any]) -> Rows:
        columns = {
            one.name: arrange(one, self._spec(one), elements[one.name])
            for one in head.inputs
        }
        return make_rows(head, self._signature, columns)

    async def _run(self, size: int, function: Callable[[], T]) -> T:
        """Calls a function, in a thread if it has much to read."""
        if size <= MAX_UNTHREADED_BYTES:
            return function()
        return await asyncio.to_thread(function)


async def _one_piece(data: bytes) -> AsyncIterator[bytes]:
    yield data


def _read_length(text: str) -> int:
    """Returns the number of bytes of the JSON. Raises BadBody."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise BadBody(f"{HEADER} must be a number of bytes, not {text[:40]!r}.")
    return int(text)


class _Source:
    """A body as it comes, read in parts of given sizes."""

    def __init__(self, request: web.Request, max_size: int) -> None:
        self.small = read_small(request, max_size, MAX_UNTHREADED_BYTES)
        """The whole body, if it is small and has come."""
        self._chunks = Chunks(request, max_size) if self.small is None else None
        self._buffer = bytearray(self.small or b"")
        self.size = len(self._buffer)
        """Bytes that have come."""

    async def _more(self) -> bool:
        """Adds bytes to the buffer; False at the end."""
        if self._chunks is None:
            return False
        async for chunk in self._chunks:
            self._buffer += chunk
            self.size += len(chunk)
            return True
        return False

    def _cut(self, size: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    async def take(self, size: int, place: str) -> bytes:
        """Returns the next bytes. Raises BadBody if there are fewer."""
        while len(self._buffer) < size:
            if not await self._more():
                come = len(self._buffer)
                raise BadBody(
                    f"The body ends within {place}, after {come} of {size} bytes."
                )
        return self._cut(size)

    async def pieces(self, size: int | None) -> AsyncIterator[bytes]:
        """Yields the next bytes, or all for None, as they come.

        Raises BadBody if there are fewer.
        """
        while size is None or size:
            if not self._buffer and not await self._more():
                if size is None:
                    return
                raise BadBody(f"The body ends within a file: {size} bytes are missing.")
            data = self._cut(len(self._buffer) if size is None else size)
            if size is not None:
                size -= len(data)
            yield data

    async def rest(self) -> bytearray:
        """Returns all other bytes."""
        while await self._more():
            pass
        rest, self._buffer = self._buffer, bytearray()
        return rest

    async def check_end(self) -> None:
        """Raises BadBody if there are more bytes."""
        if self._buffer or await self._more():
            raise BadBody(
                "The body has more bytes than its JSON and the binary_data_size of its "
                "inputs make."
            )
