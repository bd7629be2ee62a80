"""Uploads: the files of one request, written to disk as they come."""

import asyncio
import contextlib
import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import Any, Protocol

from deepaas.errors import DiskErrors
from deepaas.model.v2.wrapper import UploadedFile

MAX_UNTHREADED_BYTES = 2 * 1024 * 1024
"""Bytes of an upload that are written as they come, on the event loop: the page cache
takes them sooner than a thread would begin."""

WRITE_BYTES = 256 * 1024
"""Bytes of the rest of an upload that are written at once, off the event loop."""


class Part(Protocol):
    """The part of a form that is a file, or an element of a tensor."""

    @property
    def name(self) -> str | None:
        """Return the argument's name."""

    @property
    def filename(self) -> str | None:
        """Return the caller's name for the file."""

    @property
    def content_type(self) -> str | None:
        """Return the media type that the caller gave."""


@dataclass
class Uploads:
    """The files of one request."""

    files: list["Upload"] = field(default_factory=list)

    def open(self, part: Part) -> "Upload":
        """Open a file for a part. Raises NoSpace."""
        with DiskErrors():
            upload = Upload(part.name or "", part.filename, part.content_type)
        self.files.append(upload)
        return upload

    def open_json(self) -> "Upload":
        """Open a file for a JSON body. Raises NoSpace."""
        with DiskErrors():
            upload = Upload("json", "body.json", "application/json")
        self.files.append(upload)
        return upload

    def open_empty(self) -> str:
        """Return the path of an empty file that another process fills.

        Raises NoSpace.
        """
        with DiskErrors():
            upload = Upload("loaded", "loaded.pickle", None)
        upload.handle.close()
        self.files.append(upload)
        return upload.path

    async def remove(self) -> None:
        """Delete the files, off the event loop where that takes time."""
        if sum(file.size for file in self.files) > 64 * WRITE_BYTES:
            await asyncio.to_thread(self._remove)
        else:
            self._remove()

    def _remove(self) -> None:
        for file in self.files:
            file.handle.close()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(file.path)


class Upload:
    """A file on its way to the disk."""

    def __init__(
        self, name: str, filename: str | None, content_type: str | None
    ) -> None:
        original = re.split(r"[\\/]", filename or "")[-1]
        # The end of the name is kept, since readers go by it: `.nii.gz`.
        tail = re.sub(r"[^A-Za-z0-9._-]", "_", original)[-64:]
        descriptor, self.path = tempfile.mkstemp(f"-{tail}", "deepaas-")
        self.handle = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - see Uploads
        self.value = UploadedFile(
            name=name,
            filename=self.path,
            content_type=content_type or "application/octet-stream",
            original_filename=original or None,
        )
        self.size = 0
        self._pending = bytearray()

    async def write(self, data: bytes | bytearray) -> None:
        """Write data, off the event loop once the file is large. Raises NoSpace."""
        self.size += len(data)
        if self.size <= MAX_UNTHREADED_BYTES:
            with DiskErrors():
                _write_all(self.handle, data)
            return
        self._pending += data
        if len(self._pending) >= WRITE_BYTES:
            pending, self._pending = self._pending, bytearray()
            with DiskErrors():
                await asyncio.to_thread(_write_all, self.handle, pending)

    async def close(self) -> None:
        """Write the rest, and close the file. Raises NoSpace."""
        with DiskErrors():
            _write_all(self.handle, self._pending)
            self.handle.close()
        self._pending = bytearray()


def _write_all(handle: Any, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[handle.write(view) :]
