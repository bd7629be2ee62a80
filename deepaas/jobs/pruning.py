"""The removal of jobs that are too many or too old, and of files that are left over."""

import asyncio
import logging
import time
from functools import partial

from deepaas.encoding import iso_date
from deepaas.errors import DeepaasError
from deepaas.jobs.storage import Storage
from deepaas.jobs.threads import wait_for

logger = logging.getLogger(__name__)

PRUNE_INTERVAL = 3600.0
"""Seconds between two removals of jobs that are too old."""

BUSY_INTERVAL = 1.0
"""Seconds to the next try while another server removes jobs."""


class Pruner:
    """Removes jobs that are too many or too old: when a job has ended, and regularly.

    `keep` and `keep_days` limit the ended jobs that are kept; 0 means no limit.
    """

    def __init__(self, storage: Storage, keep: int, keep_days: float) -> None:
        self._storage = storage
        self._keep = keep
        self._keep_days = keep_days
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Removes jobs now, and begins to do so regularly."""
        await self._prune()
        self._task = asyncio.create_task(self._prune_regularly())

    def prune_soon(self) -> None:
        """Removes jobs soon: one has ended."""
        self._wanted.set()

    def close(self) -> None:
        """Removes no more."""
        if self._task is not None:
            self._task.cancel()

    async def _prune_regularly(self) -> None:
        while True:
            await wait_for(self._wanted, PRUNE_INTERVAL)
            regular = not self._wanted.is_set()
            self._wanted.clear()
            await self._prune()
            if regular:
                await self._remove_left_files()

    async def _prune(self) -> None:
        since = ""
        if self._keep_days:
            since = iso_date(time.time() - self._keep_days * 24 * 3600)
        storage = self._storage
        prune = partial(storage.records.prune, self._keep, since, storage.remove_files)
        try:
            if not await storage.write(prune):
                loop = asyncio.get_running_loop()
                loop.call_later(BUSY_INTERVAL, self._wanted.set)
        except (DeepaasError, OSError) as error:
            logger.warning("Old jobs are not removed: %s", error)

    async def _remove_left_files(self) -> None:
        try:
            await asyncio.to_thread(self._storage.remove_left_files)
        except (DeepaasError, OSError) as error:
            logger.warning("Files that are left over are not removed: %s", error)
