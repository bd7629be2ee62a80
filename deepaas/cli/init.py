"""`deepaas-cli init`: writes a package: a small model, its tests and a container."""

import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template

from deepaas.cli.options import Parser
from deepaas.errors import DeepaasError, InvalidArguments

TEMPLATE = Path(__file__).parent / "template"
SUFFIX = ".in"
"""The end of the names of the template's files, which are not Python's or pip's yet."""

RENAMED = {
    "github": ".github",
    "gitignore": ".gitignore",
    "dockerignore": ".dockerignore",
}
"""Names that would be hidden files in the template."""

NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?", re.IGNORECASE)
"""https://packaging.python.org/en/latest/specifications/name-normalization/"""


def init(words: Sequence[str], print_text: Callable[[str], None]) -> None:
    """Write a package that serves a small model."""
    parser = Parser(
        prog="deepaas-cli init",
        usage="deepaas-cli init NAME",
        description="Write the package NAME into a new folder of that name: a small "
        "model with its API, tests, a Dockerfile and a workflow for GitHub.",
        print_text=print_text,
    )
    parser.add_argument("name", metavar="NAME")
    parser.add_help_option("-h", "--help")
    name = parser.parse_args(words).name
    folder = Path(name)
    package = _check(name)
    try:
        _write(folder, name, package)
    except OSError as error:
        raise DeepaasError(
            f"Cannot write {error.filename}: {error.strerror}."
        ) from error
    print_text(
        f"{name} is written. Next:\n"
        f"    cd {name}\n"
        "    pip install -e '.[test]'\n"
        "    pytest\n"
        "    deepaas-run --reload\n"
    )


def _check(name: str) -> str:
    """Return the name of the package to import. Raises InvalidArguments."""
    package = re.sub(r"[.-]+", "_", name.lower())
    if not NAME.fullmatch(name) or not package.isidentifier():
        problem = (
            "is not the name of a package: letters, digits and dashes, a letter first"
        )
    elif keyword.iskeyword(package) or package in sys.stdlib_module_names:
        problem = "is a name of Python's own"
    elif _is_installed(package):
        problem = f"would hide the installed module {package}"
    elif os.path.lexists(name) and not _is_empty(name):
        problem = "is there already"
    else:
        return package
    raise InvalidArguments({"_schema": [f"{name} {problem}."]})


def _is_installed(package: str) -> bool:
    here = os.getcwd()
    path = [folder for folder in sys.path if os.path.abspath(folder or here) != here]
    before, sys.path[:] = sys.path[:], path
    try:
        return importlib.util.find_spec(package) is not None
    finally:
        sys.path[:] = before


def _is_empty(folder: str) -> bool:
    return os.path.isdir(folder) and not os.listdir(folder)


def _write(folder: Path, name: str, package: str) -> None:
    folder.mkdir(exist_ok=True)
    for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
        parts = [
            RENAMED.get(part, part).replace("PACKAGE", package)
            for part in source.relative_to(TEMPLATE).parts
        ]
        parts[-1] = parts[-1].removesuffix(SUFFIX)
        parts[-1] = RENAMED.get(parts[-1], parts[-1])
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = Template(source.read_text(encoding="utf-8"))
        target.write_text(text.substitute(NAME=name, PACKAGE=package), encoding="utf-8")
