"""--reload: watches the Python files of the models, and replaces their workers."""

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepaas.errors import StartError
from deepaas.executors import Executor
from deepaas.model.loading import ModelRef

if TYPE_CHECKING:
    from watchfiles import Change

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watched:
    """The files of a model: folders, with or without those below them."""

    folders: Collection[Path]
    recursive: bool
    only: Path | None = None
    """The only file that counts; None for every Python file."""

    def counts(self, path: str) -> bool:
        """Tell whether a file is one of them."""
        return self.only is None or Path(path) == self.only


class Reloader:
    """Replaces the workers of each model when one of its files changes."""

    def __init__(self, executors: Mapping[ModelRef, Executor]) -> None:
        """Raises StartError without the package watchfiles."""
        if importlib.util.find_spec("watchfiles") is None:
            raise StartError(
                "--reload needs the package watchfiles: pip install 'deepaas[reload]'"
            )
        self._executors = executors

    async def context(self, app: Any) -> AsyncIterator[None]:
        """Watch while an application runs."""
        tasks = [
            asyncio.create_task(self._watch(ref, executor))
            for ref, executor in self._executors.items()
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, ref: ModelRef, executor: Executor) -> None:
        from watchfiles import PythonFilter, awatch

        watched = watched_files(ref)
        if watched is None:
            logger.warning("%s: its files are not known; it is not reloaded", ref.name)
            return

        def counts(change: "Change", path: str) -> bool:
            return python(change, path) and watched.counts(path)

        python = PythonFilter()
        reloading: asyncio.Task[None] | None = None
        try:
            async for changes in awatch(
                *watched.folders, watch_filter=counts, recursive=watched.recursive
            ):
                await _end(reloading)  # a later change goes before it
                paths = sorted({path for _, path in changes})
                reloading = asyncio.create_task(_reload(ref.name, executor, paths))
        finally:
            await _end(reloading)


async def _end(task: "asyncio.Task[None] | None") -> None:
    if task is not None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _reload(model: str, executor: Executor, paths: Collection[str]) -> None:
    for path in paths:
        _remove_bytecode(path)
    names = ", ".join(os.path.basename(path) for path in paths)
    logger.info("%s: reloading, since %s changed", model, names)
    began = time.monotonic()
    try:
        await executor.reload()
    except StartError as error:
        logger.warning(
            "%s The workers stay as they were.", f"{error}".rstrip(".") + "."
        )
    else:
        logger.info("%s: reloaded in %.1f s", model, time.monotonic() - began)


def _remove_bytecode(path: str) -> None:
    """Remove the compiled form of a file.

    Python takes it for a change's if the file has the same size and second as before.
    """
    with contextlib.suppress(OSError, NotImplementedError):
        os.unlink(importlib.util.cache_from_source(path))


def watched_files(ref: ModelRef) -> Watched | None:
    """Return the files of a model's package, or of the folder of its file.

    None if there are none. The model is not imported.
    """
    where = ref.where
    if os.path.isabs(where):
        return _around(Path(where))
    folders = [ref.import_folder] if ref.import_folder else []
    with _first_on_path(folders):
        try:
            spec = importlib.util.find_spec(where.partition(".")[0])
        except (ImportError, ValueError):
            return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Watched(list(map(Path, spec.submodule_search_locations)), True)
    return _around(Path(spec.origin)) if spec.origin and spec.has_location else None


def _around(file: Path) -> Watched:
    """Return a file with those beside it, and the packages beside it."""
    folder = file.parent
    if file.name == "__init__.py":
        return Watched([folder], True)
    if folder.name in ("site-packages", "dist-packages"):
        return Watched([folder], False, file)
    packages = {
        init.parent for depth in ("*", "*/*", "*/*/*") for init in _inits(folder, depth)
    }
    return Watched([folder, *sorted(packages)], False)


def _inits(folder: Path, depth: str) -> list[Path]:
    return [
        init
        for init in folder.glob(f"{depth}/__init__.py")
        if not any(part[:1] == "." or part == "site-packages" for part in init.parts)
    ]


@contextlib.contextmanager
def _first_on_path(folders: Collection[str]) -> Any:
    before = list(sys.path)
    sys.path[:0] = folders
    try:
        yield
    finally:
        sys.path[:] = before
