"""The files of a call that runs on another machine, and the call with their paths."""

import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from deepaas.executors.messages import LOAD, Call
from deepaas.model.v2.wrapper import UploadedFile

if TYPE_CHECKING:
    from deepaas.arguments.outcome import JSONFile


def paths_of(values: Mapping[str, Any]) -> list[str]:
    """Return the paths of the uploads among values: files, or lists of files."""
    paths = []
    for value in values.values():
        files = value if type(value) is list else (value,)
        if files and isinstance(files[0], UploadedFile):  # else none is
            paths += [each.filename for each in files if each.filename is not None]
    return paths


def has_files(call: Call) -> bool:
    """Tell whether a call has files that its worker needs."""
    packed = isinstance(call.packed, str)
    return packed or bool(call.uploads or paths_of(call.kwargs) or _json_file(call))


def _json_file(call: Call) -> "JSONFile | None":
    """Return the body that a question asks to load, if it is in a file."""
    found: JSONFile | None = call.kwargs["given"].file if call.method == LOAD else None
    return found


def with_paths(value: Any, paths: Mapping[str, str]) -> Any:
    """Return an argument with other paths of its files, in lists and dicts too.

    Files in objects of an author's own class keep their paths.
    """
    if isinstance(value, UploadedFile):
        return value._replace(filename=paths.get(value.filename or "", value.filename))
    if isinstance(value, PurePath):
        path = paths.get(str(value))
        return value if path is None else type(value)(path)
    if type(value) in (list, tuple):
        return type(value)(with_paths(each, paths) for each in value)
    if type(value) is dict:
        return {key: with_paths(each, paths) for key, each in value.items()}
    return value


class CallFiles:
    """The files of one call, and where they are on a node."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder = folder
        self._number = number
        self.sent: list[tuple[str, str]] = []
        """The path of each here, and its name in the place's folder."""
        self.returned: tuple[str, str] | None = None
        """The one of them that the worker fills, and that comes back."""

    def moved_call(self, call: Call) -> Call:
        """Return the call that finds its files on the node."""
        if isinstance(call.packed, str):
            call = call._replace(packed=self._path(call.packed))
        if (body := _json_file(call)) is not None:
            given = call.kwargs["given"]._replace(file=self._moved_body(body))
            return call._replace(kwargs={**call.kwargs, "given": given})
        if not call.uploads:
            return call._replace(kwargs=self._moved(call.kwargs))
        pairs = [(path, self._path(path)) for path, _ in call.uploads]
        return call._replace(uploads=pairs)

    def _moved_body(self, body: "JSONFile") -> "JSONFile":
        moved = body._replace(
            path=self._path(body.path), loaded=self._path(body.loaded)
        )
        self.returned = self.sent[-1]
        return moved

    def _moved(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of the call with the paths on the node."""
        return {
            name: list(map(self._move, value))
            if type(value) is list
            else self._move(value)
            for name, value in kwargs.items()
        }

    def _move(self, value: Any) -> Any:
        if not isinstance(value, UploadedFile) or value.filename is None:
            return value
        return value._replace(filename=self._path(value.filename))

    def _path(self, path: str) -> str:
        """Return where a file is written on the node, and note that it is needed."""
        name = f"{self._number}-{len(self.sent)}-{os.path.basename(path)}"
        self.sent.append((path, name))
        return os.path.join(self._folder, name)
