"""The folder of a place, for the files of calls; it does not outlive the place."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from deepaas.errors import DeepaasError, DiskErrors, NoSpace, named

FOLDER_PREFIX = "deepaas-place-"

JANITOR = """
exec 3<&0
(trap "" INT TERM HUP; read -r _ <&3; rm -rf "$0") &
"""
"""The program that deletes a folder when its place is gone. Its process is not a child
of the place, since Ray kills those too."""


class PlaceFolder:
    """The folder of a place, for the files of calls.

    A lock shows that the place lives. A small process, which leads a group of its own,
    deletes the folder if the place is killed.
    """

    def __init__(self) -> None:
        self.path, self._lock = _locked_folder()
        janitor = subprocess.Popen(
            ["/bin/sh", "-c", JANITOR, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        janitor.wait()  # it has a child of its own
        assert janitor.stdin is not None
        self._lifeline = janitor.stdin

    def file(self, name: str) -> Path:
        """Return the path of a file, by its name."""
        return Path(self.path, os.path.basename(name))

    def remove(self) -> None:
        """Delete the folder and what it holds, once."""
        shutil.rmtree(self.path, ignore_errors=True)
        if not self._lifeline.closed:
            self._lifeline.close()
            os.close(self._lock)


class CallFiles:
    """The files of calls in a folder, and the errors of those that were not written."""

    def __init__(self, folder: PlaceFolder) -> None:
        self._folder = folder
        self._names: dict[int, set[str]] = {}
        self.failed: dict[int, DeepaasError] = {}

    def write(self, call: int, name: str, data: bytes | memoryview) -> None:
        """Add a piece to a file of a call. Never raises: see `failed`."""
        self._names.setdefault(call, set()).add(name)
        try:
            with DiskErrors(), open(self._folder.file(name), "ab") as file:
                file.write(data)
        except NoSpace as error:
            self.failed[call] = error
        except OSError as error:
            words = f"An upload cannot be written on its node: {named(error)}"
            self.failed[call] = DeepaasError(words)

    def remove(self, call: int) -> None:
        """Delete the files of a call that there are."""
        self.failed.pop(call, None)
        for name in self._names.pop(call, ()):
            self._folder.file(name).unlink(missing_ok=True)


def _locked_folder() -> tuple[str, int]:
    """Make a folder; return its path, and a descriptor that has its lock."""
    while True:
        path = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.isdir(path):
                return path, lock
            os.close(lock)  # another place has deleted it before it had its lock


def remove_abandoned() -> None:
    """Delete the folders of places that were killed together with their node."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(folder, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
