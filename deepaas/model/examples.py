"""Files that an author names as examples of an argument.

They are found where the model is loaded; only those within its package are served.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from deepaas.arguments import Arguments
from deepaas.model.description import ExampleFile

Addresses: TypeAlias = Mapping[str, Sequence[Mapping[str, str]]]
"""Names and addresses of files, by the argument that they are examples of."""


def find_examples(
    model: str, folder: Path | None, arguments: Mapping[str, Arguments]
) -> tuple[tuple[ExampleFile, ...], tuple[str, ...]]:
    """Return the files that an author names, and warnings of what is ignored.

    `arguments` are those of each method, `folder` is that of the author's files.
    """
    examples, warnings = [], []
    for method, of_method in arguments.items():
        for item in of_method.items:
            where = f"{model}: the argument {item.name!r} of {method}"
            warnings += [f"{where}: {reason}" for reason in item.hints.ignored]
            for name in item.hints.examples if item.is_file else ():
                path, reason = _locate(folder, name)
                if path is None:
                    warnings.append(f"{where}: no example {name!r}: {reason}")
                text = None if path is None else str(path)
                examples.append(ExampleFile(method, item.name, text))
    return tuple(examples), tuple(warnings)


def addresses(model: str, examples: Iterable[ExampleFile]) -> dict[str, Addresses]:
    """Return names and addresses by method and argument.

    The addresses are relative to the root of the API.
    """
    found: dict[str, dict[str, list[Mapping[str, str]]]] = {}
    for number, one in enumerate(examples):
        if one.path is not None:
            url = f"v2/models/{quote(model, safe='')}/examples/{number}"
            listed = found.setdefault(one.method, {}).setdefault(one.argument, [])
            listed.append({"name": os.path.basename(one.path), "url": url})
    return {**found}


def is_readable(path: Path) -> bool:
    """Tell whether this is a file that can be read."""
    return path.is_file() and os.access(path, os.R_OK)


def _locate(folder: Path | None, name: str) -> tuple[Path | None, str]:
    """Return a file in a folder, or None and the reason why there is none."""
    if folder is None:
        return None, "the model's package is in no folder"
    folder = folder.resolve()
    try:
        path = (folder / name).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or NUL
        return None, getattr(error, "strerror", None) or str(error)
    if not path.is_relative_to(folder):
        return None, f"it is not in {folder}"
    if not is_readable(path):
        return None, "it is not a file that can be read"
    return path, ""
