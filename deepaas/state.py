"""The folder in which a server keeps its jobs."""

import contextlib
import errno
import logging
import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deepaas.config import Settings
from deepaas.errors import StartError

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def state_folder(settings: Settings, port: int) -> Iterator[Path]:
    """Provides the folder of the jobs of a server on this port.

    If the settings name none and the default cannot be used, it is a temporary folder,
    which is removed at the end. Raises StartError if that cannot be made either.
    """
    folder = Path(settings.state_dir)
    if not settings.state_dir:
        try:
            folder = _default_folder(port)
            _check(folder)
        except OSError as error:
            with _temporary_folder(error) as folder:
                yield folder
            return
    yield folder


def _default_folder(port: int) -> Path:
    """Return the default folder. Raises OSError for a user without a home folder."""
    # https://specifications.freedesktop.org/basedir-spec/latest/
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if os.path.isabs(state) else _home() / ".local" / "state"
    return base / "deepaas" / str(port)


def _home() -> Path:
    home = os.environ.get("HOME", "")
    if not home:
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            raise FileNotFoundError(
                errno.ENOENT, "this user has none", "HOME"
            ) from None
    if not os.path.isabs(home):
        raise FileNotFoundError(errno.ENOENT, "it is not an absolute path", home)
    return Path(home)


def _check(folder: Path) -> None:
    """Make the folder. Raises OSError if it, or what is in it, cannot be written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    for path in folder.iterdir():
        if not os.access(path, os.R_OK | os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@contextlib.contextmanager
def _temporary_folder(cause: OSError) -> Iterator[Path]:
    try:
        made = tempfile.TemporaryDirectory(prefix="deepaas-state-")
    except OSError as error:
        raise StartError(
            f"cannot keep jobs in {cause.filename} ({cause.strerror}) or in a "
            f"temporary folder ({error.strerror}); choose a folder with --state-dir"
        ) from error
    with made as path:
        logger.warning(
            "Jobs are kept in %s and lost when the server stops: "
            "%s cannot be used (%s); choose a folder with --state-dir.",
            path,
            cause.filename,
            cause.strerror,
        )
        yield Path(path)
