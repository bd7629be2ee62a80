"""A virtual environment for each server, with the versions that are compared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "benchmarks" / "models"
OURS = "ours"
BEFORE = "before"
"""Another checkout of deepaas, for comparison."""
DEEP = "deep"

# These parts are copied before they are installed, since a build leaves files behind.
PARTS = ("deepaas", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")

# setuptools: 2.6.0 imports pkg_resources, and the models are built with it
COMMON = ("setuptools==80.9.0", "scikit-learn==1.9.1")

# These fit Python 3.11 and 3.12.
REQUIREMENTS: dict[str, tuple[str, ...]] = {
    OURS: (),  # setup.cfg says the rest
    BEFORE: (),
    "deepaas-2.6.0": ("deepaas==2.6.0",),
    # reads forms with python-multipart, without requiring it
    "litserve": ("litserve==0.2.19", "python-multipart==0.0.34"),
    # with a newer uvloop its workers do not start: no current event loop
    "mlserver": ("mlserver==1.7.1", "uvloop==0.21.0"),
    "bentoml": ("bentoml==1.4.39",),
    # deepaas and two others, since PyTorch is large; newer ones come with libraries for
    # GPUs, of 4 GB
    DEEP: (
        "torch<2.14",
        "pillow",
        "litserve==0.2.19",
        "python-multipart==0.0.34",
        "bentoml==1.4.39",
    ),
    # a client only: python -m tests.inference_clients
    "kserve": ("kserve==0.21.0",),
}

STEP_TIMEOUT = 900
"""Seconds for one step of making an environment."""


class CannotBuildError(Exception):
    """An environment could not be made; the text gives the reason."""


def make(name: str, folder: Path, before: Path | None = None) -> Path:
    """Return the environment's `bin`; make it if it is not there or has changed.

    `before` is the checkout that BEFORE gets. Raises CannotBuildError.
    """
    checkout = {OURS: ROOT, DEEP: ROOT, BEFORE: before}.get(name)
    environment = folder / name
    marker = environment / "made.json"
    requirements = [*COMMON, *REQUIREMENTS[name]]
    recipe = {"python": sys.version, "requirements": requirements}
    if checkout is not None:
        recipe["setup.cfg"] = (checkout / "setup.cfg").read_text()
    made = marker.exists() and json.loads(marker.read_text()) == recipe
    if not made:
        _run([sys.executable, "-m", "venv", "--clear", str(environment)])
        _install(environment, requirements)
    with tempfile.TemporaryDirectory() as copies:
        local = [_copy_models(Path(copies))]
        if checkout is not None:
            local.append(_copy_checkout(checkout, Path(copies)))
        # Install each time: the code may have changed without its version.
        again = ["--no-deps", "--force-reinstall"] if made else []
        _install(environment, ["--no-build-isolation", *again, *local])
    marker.write_text(json.dumps(recipe))
    return environment / "bin"


def versions(binaries: Path) -> dict[str, str]:
    """Return the versions of the packages in an environment."""
    text = _run([str(binaries / "python"), "-m", "pip", "list", "--format=json"])
    return {package["name"]: package["version"] for package in json.loads(text)}


def _copy_models(folder: Path) -> str:
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")
    return str(shutil.copytree(MODELS, folder / "models", ignore=ignored))


def _copy_checkout(checkout: Path, folder: Path) -> str:
    target = folder / "checkout"
    target.mkdir()
    for part in PARTS:
        source = checkout / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / part, ignore=ignored)
        else:
            shutil.copy(source, target)
    return str(target)


def _install(environment: Path, what: list[str]) -> None:
    python = str(environment / "bin" / "python")
    _run([python, "-m", "pip", "install", "--quiet", *what])


def _run(command: list[str]) -> str:
    quiet = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=STEP_TIMEOUT, env=quiet
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuildError(str(error)) from error
    if done.returncode:
        raise CannotBuildError(done.stderr[-2000:])
    return done.stdout
