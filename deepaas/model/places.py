"""Places in an author's code: file and line, for messages on mistakes."""

import inspect
import os
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

import deepaas

_OURS = str(Path(deepaas.__file__).parent) + os.sep
_LIBRARY = str(Path(os.__file__).parent) + os.sep


def raised_at(error: BaseException, target: str) -> str:
    """Return ` (file, line n)` where a model's code raised an exception, or nothing.

    `target` is that of the model's `ModelRef`: the last line in the model's own code is
    preferred to the last one in a library. Nothing for a SyntaxError, whose text has
    the place, and for an exception that no code of an author was part of.
    """
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return ""
    lines = list(traceback.walk_tb(error.__traceback__))
    own = [each for each in lines if _is_of(each[0], target)]
    others = [each for each in lines if _is_authors(each[0].f_code.co_filename)]
    for frame, line in (own or others)[-1:]:
        return _place(frame.f_code.co_filename, line)
    return ""


def defined_at(function: Any) -> str:
    """Return ` (file, line n)` where a function is defined, or nothing."""
    try:
        code = inspect.unwrap(function).__code__
    except (AttributeError, ValueError):
        return ""
    return _place(code.co_filename, code.co_firstlineno)


def _place(file: str, line: int) -> str:
    if file.startswith("<"):  # it was made of a text
        return ""
    try:
        relative = os.path.relpath(file)
    except OSError:  # the working folder was removed
        relative = file
    return f" ({file if relative.startswith('..') else relative}, line {line})"


def _is_authors(file: str) -> bool:
    """Tell whether a file is not ours, not Python's, and in no installed package."""
    return not file.startswith(("<", _OURS, _LIBRARY)) and not _is_installed(file)


def _is_installed(file: str) -> bool:
    return any(name in file for name in ("site-packages", "dist-packages"))


def _is_of(frame: FrameType, target: str) -> bool:
    """Tell whether a line is of the model's package, or in the folder of its file."""
    if os.path.isabs(target):
        file = os.path.abspath(frame.f_code.co_filename)
        folder = os.path.dirname(target) + os.sep
        inside = file.removeprefix(folder)
        return inside != file and not _is_installed(inside)
    package = target.partition(":")[0].partition(".")[0]
    name = str(frame.f_globals.get("__name__"))
    return name.partition(".")[0] == package
