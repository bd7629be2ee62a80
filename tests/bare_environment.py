"""An environment with this package, and with nothing that a model needs."""

import re
import sysconfig
import venv
from collections.abc import Iterable
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import Requirement

from tests.server import DEEPAAS_RUN

HERE = Path(sysconfig.get_path("purelib"))


def make_bare_environment(folder: Path, extras: Iterable[str]) -> Path:
    """Link the packages of `deepaas[EXTRAS]`; return the environment's `deepaas-run`.

    They are those of this environment, so that nothing has to be fetched.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(folder)}))
    for package in _requirements("deepaas", frozenset(extras)):
        files = package.files or []
        for entry in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            link = packages / entry
            if not link.exists():
                link.symlink_to(HERE / entry)
    command = folder / "bin" / "deepaas-run"
    _, *lines = DEEPAAS_RUN.read_text().splitlines(keepends=True)
    command.write_text("".join([f"#!{python}\n", *lines]))
    command.chmod(0o755)
    return command


def _requirements(name: str, extras: frozenset[str]) -> Iterable[Distribution]:
    """A distribution, and all that it needs."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(name, extras)]
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        # Not with `distribution`: the repository's folder may have metadata too.
        [package] = Distribution.discover(name=one[0], path=[str(HERE)])
        found[one[0]] = package
        for requirement in map(Requirement, package.requires or []):
            if _applies(requirement, one[1]):
                normal = re.sub(r"[-_.]+", "-", requirement.name).lower()
                waiting.append((normal, frozenset(requirement.extras)))
    return found.values()


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    if marker is None:
        return True
    return any(marker.evaluate({"extra": extra}) for extra in extras | {""})
