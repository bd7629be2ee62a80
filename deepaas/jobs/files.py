"""The files of jobs: logs, results, and outcomes that the database does not have yet.

All methods block: callers keep them off the event loop.
"""

import enum
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from deepaas.errors import DiskErrors, NoSpace, StartError

DRAFT_SUFFIX = ".part"
"""Ends the name of a result that is still being written."""

TEMPORARY_SUFFIX = ".tmp"
"""Ends the name of a file that `put` writes."""


class Part(str, enum.Enum):
    """A file that a job may have."""

    LOG = "log"
    """The lines that the model printed and logged."""
    DRAFT = "draft"
    """A result that is still being written."""
    RESULT = "result"
    """The answer of a prediction."""
    OUTCOME = "outcome"
    """The outcome of the job, until its record has it."""


PLACES = {
    Part.LOG: ("logs", ".log"),
    Part.DRAFT: ("results", DRAFT_SUFFIX),
    Part.RESULT: ("results", ""),
    Part.OUTCOME: ("outcomes", ".json"),
}
"""The folder of each part, and what follows the uuid in the name of its file."""


class StoredFile(NamedTuple):
    """A file of a job, as a caller receives it."""

    path: Path
    size: int
    """Bytes."""
    is_copy: bool = False
    """The caller is to delete it."""


class Files(Protocol):
    """Keeps the files of jobs. Each has the job's uuid and its part as its name.

    Every method raises StoreUnavailable when it may succeed a little later, if the
    files are in a database.
    """

    def append(
        self, uuid: str, part: Part, data: bytes, start: int | None = None
    ) -> None:
        """Adds data to the end of a file. Raises NoSpace or OSError.

        A call that is repeated after StoreUnavailable adds the data once if `start` is
        the size of the file.
        """

    def size(self, uuid: str, part: Part) -> int | None:
        """Returns the size of a file in bytes; None without one."""

    def read(self, uuid: str, part: Part, start: int, size: int) -> bytes:
        """Returns up to `size` bytes from `start` on; none where the file has none."""

    def put(
        self,
        uuid: str,
        part: Part,
        source: bytes | memoryview | Path,
        *,
        move: bool = False,
    ) -> None:
        """Writes a file, whole or not at all; a source that is a path is copied or
        moved. Raises NoSpace or OSError."""

    def finish_draft(self, uuid: str) -> None:
        """Makes the draft of a result the result. Raises OSError."""

    def open(self, uuid: str, part: Part) -> StoredFile | None:
        """Returns where a file is that a caller is to receive; None without one."""

    def having(self, part: Part) -> list[str]:
        """Returns the uuids of the jobs that have this part."""

    def unfinished(self) -> list[str]:
        """Returns the uuids of the jobs with files that are still being written, or
        were when a server died."""

    def remove_unfinished(self, uuids: Sequence[str]) -> None:
        """Removes these files."""

    def remove(self, uuids: Sequence[str], parts: Sequence[Part] = tuple(Part)) -> None:
        """Removes the files of jobs; a file that does not exist is not an error."""

    def close(self) -> None:
        """Ends the use of the files."""


class SharedFolderFiles(Files):
    """The files of jobs in a folder that several servers use at once.

    Raises StartError when the folder cannot be used.
    """

    option = "--files-dir"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            for name in (".", *{name for name, _ in PLACES.values()}):
                (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            self._prepare()
        except OSError as error:
            raise StartError(
                f"cannot keep jobs in {folder}: {error.strerror}; "
                f"choose another folder with {self.option}"
            ) from error

    def _prepare(self) -> None:
        """Does what has to be done before the folder is used. Raises OSError."""

    def append(
        self, uuid: str, part: Part, data: bytes, start: int | None = None
    ) -> None:
        """Adds data to the end of a file. Raises NoSpace or OSError."""
        with DiskErrors(), open(self._path(uuid, part), "ab") as file:
            file.write(data)

    def size(self, uuid: str, part: Part) -> int | None:
        """Returns the size of a file in bytes; None without one."""
        try:
            return self._path(uuid, part).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, uuid: str, part: Part, start: int, size: int) -> bytes:
        """Returns up to `size` bytes from `start` on; none where the file has none."""
        try:
            with open(self._path(uuid, part), "rb") as file:
                file.seek(start)
                return file.read(size)
        except FileNotFoundError:
            return b""

    def put(
        self,
        uuid: str,
        part: Part,
        source: bytes | memoryview | Path,
        *,
        move: bool = False,
    ) -> None:
        """Writes a file, whole or not at all. Raises NoSpace or OSError."""
        path = self._path(uuid, part)
        temporary = path.with_name(path.name + TEMPORARY_SUFFIX)
        try:
            with DiskErrors():
                if not isinstance(source, Path):
                    temporary.write_bytes(source)
                elif move:
                    shutil.move(source, temporary)
                else:
                    shutil.copyfile(source, temporary)
                os.replace(temporary, path)
        except (OSError, NoSpace):
            temporary.unlink(missing_ok=True)
            raise

    def finish_draft(self, uuid: str) -> None:
        """Makes the draft of a result the result. Raises OSError."""
        draft = self._path(uuid, Part.DRAFT)
        draft.touch(exist_ok=True)  # a stream without pieces
        os.replace(draft, self._path(uuid, Part.RESULT))

    def open(self, uuid: str, part: Part) -> StoredFile | None:
        """Returns the path and the size of a file; None without one."""
        size = self.size(uuid, part)
        return None if size is None else StoredFile(self._path(uuid, part), size)

    def having(self, part: Part) -> list[str]:
        """Returns the uuids of the jobs that have this part."""
        folder, suffix = PLACES[part]
        names = [path.name for path in (self._folder / folder).iterdir()]
        uuids = [n.removesuffix(suffix) for n in names if n.endswith(suffix)]
        return [uuid for uuid in uuids if "." not in uuid]  # other parts have suffixes

    def unfinished(self) -> list[str]:
        """Returns the uuids of the jobs with files that were not written to the end."""
        return list({path.name.partition(".")[0] for path in self._unfinished("*")})

    def remove_unfinished(self, uuids: Sequence[str]) -> None:
        """Removes the files that were not written to the end."""
        for uuid in uuids:
            for path in self._unfinished(f"{uuid}*"):
                path.unlink(missing_ok=True)

    def _unfinished(self, names: str) -> Iterator[Path]:
        for suffix in (DRAFT_SUFFIX, TEMPORARY_SUFFIX):
            yield from self._folder.glob(f"*/{names}{suffix}")

    def remove(self, uuids: Sequence[str], parts: Sequence[Part] = tuple(Part)) -> None:
        """Removes these parts of jobs; a missing file is not an error."""
        for uuid in uuids:
            for part in parts:
                self._path(uuid, part).unlink(missing_ok=True)

    def close(self) -> None:
        """Does nothing: the folder is not locked."""

    def _path(self, uuid: str, part: Part) -> Path:
        folder, suffix = PLACES[part]
        return self._folder / folder / f"{uuid}{suffix}"


class FolderFiles(SharedFolderFiles):
    """The files of jobs in a folder that one server uses at a time.

    Raises StartError when the folder cannot be used, for example while another server
    uses it.
    """

    option = "--state-dir"

    def _prepare(self) -> None:
        self._lock = _lock(self._folder / "lock")

    def close(self) -> None:
        """Unlocks the folder."""
        self._lock.close()


def _lock(path: Path) -> IO[str]:
    """Takes a lock that ends with this process, however the process ends."""
    file = open(path, "w")  # noqa: SIM115 - it is open as long as it is locked
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StartError(
            f"another server keeps its jobs in {path.parent}; "
            "choose another folder with --state-dir"
        ) from error
    return file
