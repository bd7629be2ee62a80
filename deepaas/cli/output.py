"""The result on its way out: to standard output, or to a file, whole or not at all."""

import contextlib
import io
import json
import mimetypes
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from deepaas.cli.table import describe_job
from deepaas.errors import DeepaasError, InvalidArguments
from deepaas.executors import Reply
from deepaas.media_types import BINARY, JSON, NDJSON, is_json, without_parameters

PRINTABLE = (JSON, NDJSON)
"""Media types besides text that a terminal can show."""

EXTENSIONS = {
    "application/geo+json": (".geojson",),
    "application/gzip": (".gz", ".tgz"),
    "application/x-ndjson": (".ndjson", ".jsonl"),
    "application/xml": (".xml",),
    "application/yaml": (".yaml", ".yml"),
    "audio/flac": (".flac",),
    "audio/mp4": (".m4a", ".mp4"),
    "audio/ogg": (".ogg", ".oga", ".opus"),
    "audio/wav": (".wav",),
    "image/jpg": (".jpg", ".jpeg"),
    "model/gltf-binary": (".glb",),
    "text/markdown": (".md",),
    "video/x-matroska": (".mkv",),
}
"""Extensions that mimetypes lacks in some versions of Python, or lists last."""

OPTION = "output"


def take_standard_output() -> int:
    """Keep standard output for the result; all other output goes to stderr.

    Returns the descriptor of what was standard output. The descriptor itself changes,
    since C code and other programs print too.
    """
    taken = os.dup(1)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return taken


def say(text: str) -> None:
    """Print a line on standard error, if someone still reads it."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class Output:
    """The destination of a result: `path`, or the descriptor of standard output.

    JSON goes to both.
    """

    def __init__(self, standard: int, path: str | None) -> None:
        self.descriptor = standard
        self._path = path

    def check(self, media_type: str | None = None) -> None:
        """Raise InvalidArguments at once for a destination that cannot be written."""
        if self._path is None:
            self._check_terminal(media_type)
            return
        if os.path.basename(self._path) in ("", ".", ".."):
            raise InvalidArguments({OPTION: [f"{self._path!r} does not name a file."]})
        if is_special(self._path) or (
            os.path.exists(self._path)
            and not (os.path.isfile(self._path) or os.path.isdir(self._path))
        ):  # a device would be replaced by a file
            raise InvalidArguments({OPTION: [f"{self._path} is not a regular file."]})
        folder = Path(self._path).absolute().parent
        while not folder.exists():
            folder = folder.parent
        if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
            raise InvalidArguments({OPTION: [f"Cannot write in {folder}."]})

    def write(self, reply: Reply, *, repeat: bool = False) -> None:
        """Write a result; with `repeat`, JSON is a line `return: ` on stderr as well.

        Raises BrokenPipeError if the reader has left. Other failures are
        InvalidArguments and DeepaasError.
        """
        line = _python_form(reply) if repeat else None
        try:
            if self._path is not None:
                self._save(reply, self._path)
            if self._path is None or is_json(reply.media_type):
                self._check_terminal(reply.media_type)
                self._print(reply)
            if line is not None:
                say(f"return: {line}")
        finally:
            discard(reply)

    @property
    def is_terminal(self) -> bool:
        """Tell whether standard output is a terminal."""
        return self.descriptor >= 0 and os.isatty(self.descriptor)

    def write_job(self, job: bytes) -> None:
        """Write a job: as JSON, or as a table on a terminal. Raises as `write` does."""
        if not self.is_terminal:
            self.write(Reply(JSON, job))
            return
        if self._path is not None:
            self._save(Reply(JSON, job), self._path)
        self.print(describe_job(json.loads(job)))

    def print(self, text: str) -> None:
        """Write a text to standard output, as `write` does."""
        with self._opened() as file:
            file.write(text.encode())

    def _check_terminal(self, media_type: str | None) -> None:
        if media_type is None or not self.is_terminal:
            return
        if not media_type.startswith(("text/", *PRINTABLE)):
            message = f"Needed for a result of type {media_type} (or a pipe)."
            raise InvalidArguments({OPTION: [message]})

    def _print(self, reply: Reply) -> None:
        with self._opened() as file:
            if is_json(reply.media_type):
                with _content(reply) as source:
                    # A line never ends within a value: in a string it is escaped.
                    file.write(b" ".join(map(bytes.strip, source.read().splitlines())))
                file.write(b"\n")
            else:
                _copy(reply, file)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        try:
            with open(self.descriptor, "wb", closefd=False) as file:
                yield file
        except BrokenPipeError:
            raise
        except (OSError, ValueError) as error:  # ValueError: it was closed
            cause = getattr(error, "strerror", None) or "it is closed"
            raise DeepaasError(f"Cannot write to standard output: {cause}.") from error

    def _save(self, reply: Reply, path: str) -> None:
        path = with_extension(path, reply.media_type)
        try:
            _write_whole(reply, Path(os.path.realpath(path)))
        except OSError as error:
            raise DeepaasError(f"Cannot write {path}: {error.strerror}.") from error
        if path != self._path:
            say(f"--> New output is {path}")


def is_special(path: str) -> bool:
    """Tell whether a path is of a device or a process, such as /dev/stdin."""
    path = os.path.abspath(path)
    return path.startswith(("/dev/", "/proc/")) and not path.startswith("/dev/shm/")


def discard(reply: Reply) -> None:
    """Delete the file of a reply, if it is ours."""
    if reply.delete and reply.path is not None:
        os.unlink(reply.path)


def with_extension(path: str, media_type: str) -> str:
    """Return the path with an extension of the media type added if it has another."""
    essence = without_parameters(media_type)
    known = [
        *EXTENSIONS.get(essence, ()),
        *mimetypes.guess_all_extensions(essence, strict=False),
    ]
    if essence == BINARY or not known:  # its type is unknown
        return path
    if os.path.splitext(path)[1].lower() in known:
        return path
    return f"{path}{known[0]}"


def _write_whole(reply: Reply, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".deepaas-{uuid.uuid4().hex}")
    try:
        with open(unfinished, "xb") as file:
            with contextlib.suppress(OSError):  # mostly, there is none yet
                shutil.copymode(path, unfinished)
            _copy(reply, file)
            file.flush()
            os.fsync(file.fileno())  # over a network, a full disk shows here
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _content(reply: Reply) -> BinaryIO:
    if reply.path is None:
        return io.BytesIO(reply.body or b"")
    return open(reply.path, "rb")


def _python_form(reply: Reply) -> str | None:
    """Return a JSON value as Python writes it, in one line; None if it is not JSON.

    Scripts that were written for other implementations look for it.
    """
    if not is_json(reply.media_type):
        return None
    try:
        with _content(reply) as source:
            return repr(json.load(source))
    except (ValueError, RecursionError):  # a file of the model's may hold anything
        return None


def _copy(reply: Reply, file: BinaryIO) -> None:
    with _content(reply) as source:
        shutil.copyfileobj(source, file)
