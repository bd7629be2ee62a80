"""The files of jobs in PostgreSQL: rows of up to 4 MiB.

All methods block: callers keep them off the event loop.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from deepaas.errors import DiskErrors, NoSpace
from deepaas.jobs.database import Database
from deepaas.jobs.files import Files, Part, StoredFile
from deepaas.jobs.notices import LOG
from deepaas.jobs.tables import FILES

ROW_BYTES = 4 * 2**20
"""Most bytes of a row."""

MAX_FILE_BYTES = 2**30
"""Most bytes of a file: larger ones belong into a folder that servers share."""

REMOVE_LOCK = 0x6465657061617303
"""The lock of the server that removes files: two that remove the same rows in another
order would wait for each other."""

_END = FILES.c.start + sa.func.length(FILES.c.data)


class DatabaseFiles(Files):
    """The files of jobs in a database, for all servers that use it.

    `folder` is for copies of files that are being sent; nothing else is in it.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder
        with DiskErrors():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in folder.iterdir():
                left.unlink()

    def append(
        self, uuid: str, part: Part, data: bytes, start: int | None = None
    ) -> None:
        """Adds data to the end of a file. Raises NoSpace or StoreFailed.

        A call that is repeated after StoreUnavailable adds the data once if `start` is
        the size of the file.
        """
        with self._database.write() as connection:
            at = _size(connection, uuid, part) or 0 if start is None else start
            _check_size(at + len(data))
            for row in _rows(data):
                _write_row(connection, uuid, part, at, row)
                at += len(row)
            if part is Part.LOG:
                self._database.notify(connection, f"{LOG} {uuid}")

    def size(self, uuid: str, part: Part) -> int | None:
        """Returns the size of a file in bytes; None without one."""
        with self._database.read() as connection:
            return _size(connection, uuid, part)

    def read(self, uuid: str, part: Part, start: int, size: int) -> bytes:
        """Returns up to `size` bytes from `start` on; none where the file has none."""
        first = sa.func.greatest(start - FILES.c.start, 0) + 1
        piece = sa.func.substr(FILES.c.data, sa.cast(first, sa.Integer), size)
        query = sa.select(piece).where(
            _is_file(uuid, part), FILES.c.start < start + size, start < _END
        )
        # Without it, all rows before `start` would be read.
        query = query.where(FILES.c.start > start - ROW_BYTES)
        with self._database.read() as connection:
            rows = connection.scalars(query.order_by(FILES.c.start))
            return b"".join(bytes(row) for row in rows)[:size]

    def put(
        self,
        uuid: str,
        part: Part,
        source: bytes | memoryview | Path,
        *,
        move: bool = False,
    ) -> None:
        """Writes a file, whole or not at all. Raises NoSpace, StoreFailed or OSError;
        then a source that it should move is left where it was."""
        with self._database.write() as connection:
            connection.execute(FILES.delete().where(_is_file(uuid, part)))
            start = 0
            for row in _rows(source):
                _check_size(start + len(row))
                _write_row(connection, uuid, part, start, row)
                start += len(row)
        if move and isinstance(source, Path):
            source.unlink(missing_ok=True)

    def finish_draft(self, uuid: str) -> None:
        """Makes the draft of a result the result; repeated, it changes nothing."""
        result = _is_file(uuid, Part.RESULT)
        draft = _is_file(uuid, Part.DRAFT)
        with self._database.write() as connection:
            if _size(connection, uuid, Part.DRAFT) is None:
                if _size(connection, uuid, Part.RESULT) is None:
                    _write_row(connection, uuid, Part.RESULT, 0, b"")
                return
            connection.execute(FILES.delete().where(result))
            rename = FILES.update().where(draft).values(part=Part.RESULT.value)
            connection.execute(rename)

    def open(self, uuid: str, part: Part) -> StoredFile | None:
        """Returns a copy of a file; None without one. Raises NoSpace or OSError."""
        query = sa.select(FILES.c.data).where(_is_file(uuid, part))
        query = query.order_by(FILES.c.start).execution_options(yield_per=1)
        path = None
        try:
            with DiskErrors(), self._database.read() as connection:
                for row in connection.scalars(query):
                    if path is None:
                        path, file = self._new_copy()
                    file.write(row)
                if path is None:
                    return None
                file.close()
                return StoredFile(path, path.stat().st_size, is_copy=True)
        except BaseException:
            if path is not None:
                file.close()
                path.unlink(missing_ok=True)
            raise

    def _new_copy(self) -> tuple[Path, IO[bytes]]:
        file = tempfile.NamedTemporaryFile(dir=self._folder, delete=False)  # noqa: SIM115
        return Path(file.name), file

    def having(self, part: Part) -> list[str]:
        """Returns the uuids of the jobs that have this part."""
        query = sa.select(FILES.c.uuid).where(FILES.c.part == part.value).distinct()
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def unfinished(self) -> list[str]:
        """Returns the uuids of the jobs with a draft."""
        return self.having(Part.DRAFT)

    def remove_unfinished(self, uuids: Sequence[str]) -> None:
        """Removes drafts."""
        self.remove(uuids, [Part.DRAFT])

    def remove(self, uuids: Sequence[str], parts: Sequence[Part] = tuple(Part)) -> None:
        """Removes these parts of jobs; a missing file is not an error."""
        if not uuids:
            return
        names = [part.value for part in parts]
        with self._database.write() as connection:
            self._database.lock(connection, REMOVE_LOCK, wait=True)
            these = (FILES.c.uuid.in_(uuids), FILES.c.part.in_(names))
            connection.execute(FILES.delete().where(*these))

    def close(self) -> None:
        """Does nothing: the records close the database."""


def _is_file(uuid: str, part: Part) -> sa.ColumnElement[bool]:
    return sa.and_(FILES.c.uuid == uuid, FILES.c.part == part.value)


def _size(connection: sa.Connection, uuid: str, part: Part) -> int | None:
    query = sa.select(_END).where(_is_file(uuid, part))
    return connection.scalar(query.order_by(FILES.c.start.desc()).limit(1))


def _write_row(
    connection: sa.Connection, uuid: str, part: Part, start: int, data: bytes
) -> None:
    """Writes a row; it replaces one that an earlier try wrote, or an empty one."""
    values = {"uuid": uuid, "part": part.value, "start": start, "data": data}
    statement = insert(FILES).values(values)
    if data:
        statement = statement.on_conflict_do_update(
            index_elements=["uuid", "part", "start"],
            set_={"data": statement.excluded.data},
        )
    elif start:  # an empty row would only be in the way
        return
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement)


def _rows(source: bytes | memoryview | Path) -> Iterator[bytes]:
    """Yields the rows of a file; an empty file has one."""
    if isinstance(source, Path):
        with open(source, "rb") as file:
            row = file.read(ROW_BYTES)
            while True:
                yield row
                if not (row := file.read(ROW_BYTES)):
                    return
    for start in range(0, max(len(source), 1), ROW_BYTES):
        yield bytes(source[start : start + ROW_BYTES])


def _check_size(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise NoSpace(
            f"A file of a job may have {MAX_FILE_BYTES // 2**20} MiB in the database; "
            "larger ones need --files-dir."
        )
