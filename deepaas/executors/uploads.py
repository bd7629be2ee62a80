"""The uploads of a call that runs on another machine, and the call with their paths."""

import os
from collections.abc import Mapping
from typing import Any

from deepaas.model.v2.wrapper import UploadedFile


def has_uploads(kwargs: Mapping[str, Any]) -> bool:
    """Tell whether a call has uploads: arguments are files, or lists of files."""
    return any(
        isinstance(each, UploadedFile)
        for value in kwargs.values()
        for each in (value if type(value) is list else (value,))
    )


class Uploads:
    """The files of one call, and where they are written on a node."""

    def __init__(self, folder: str, number: int) -> None:
        self._folder = folder
        self._number = number
        self.files: list[tuple[str, str]] = []
        """The path of each here, and its name in the place's folder."""

    def moved(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
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
        base = os.path.basename(value.filename)
        name = f"{self._number}-{len(self.files)}-{base}"
        self.files.append((value.filename, name))
        return value._replace(filename=os.path.join(self._folder, name))
