"""The lease of this server on the jobs that it runs, and the end of others' leases.

Servers that share a database renew their leases in it, by its clock. A server that does
not do so for the time of a lease has ended: any other server ends its jobs.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from deepaas.errors import DeepaasError
from deepaas.jobs.notices import POLL_INTERVAL, Notices
from deepaas.jobs.storage import DATABASE_TIMEOUT, Storage
from deepaas.jobs.threads import DatabaseThreads

logger = logging.getLogger(__name__)

T = TypeVar("T")

RENEWALS = 10
"""Number of times that a server renews a lease before it would end."""

RETRY_INTERVAL = 1.0
"""Seconds to the next try while the database is not reachable."""


class Owner(Protocol):
    """Runs the jobs of this server."""

    def running(self) -> set[str]:
        """Returns the uuids of the jobs that it runs and that have a record."""

    def cancel(self, uuid: str) -> None:
        """Cancels a job, if it runs here."""

    def lose(self, uuid: str) -> None:
        """Ends the call of a job that is not this server's any longer."""

    def interrupt_all(self, message: str) -> None:
        """Ends all jobs as errors with this message."""

    def runs(self, uuid: str) -> bool:
        """Tells whether a job runs here, or is about to."""


class Lease:
    """Renews the lease of this server, and ends the jobs of servers without one.

    Without a database that is shared, it only ends the jobs that an earlier server has
    left, once.
    """

    def __init__(
        self,
        storage: Storage,
        owner: str,
        seconds: float,
        notices: Notices,
        jobs: Owner,
    ) -> None:
        self._storage = storage
        self._owner = owner
        self._seconds = seconds
        self._notices = notices
        self._jobs = jobs
        self._interval = seconds / RENEWALS
        # A thread of its own: a heartbeat waits for no other call.
        self._threads = DatabaseThreads(1, "jobs-lease", DATABASE_TIMEOUT)
        self._tasks: list[asyncio.Task[None]] = []
        self._renewed = 0.0
        """When the lease was renewed last, by the monotonic clock."""
        self._healthy_since: float | None = float("-inf")
        """Since when each renewal has succeeded; None while they fail."""

    @property
    def _grace(self) -> float:
        """Seconds in which all servers find the database after an outage."""
        return 2 * (self._interval + RETRY_INTERVAL)

    async def open(self) -> int:
        """Begins the lease, and ends the jobs of servers that have ended; returns
        their number. Raises StoreFailed."""
        if not self._storage.records.is_shared:
            return len(await self._adopt())
        await self._renew()
        adopted = await self._adopt()
        listen = self._notices.listen(self._jobs.cancel)
        self._tasks = [
            asyncio.create_task(self._keep()),
            asyncio.create_task(listen),
        ]
        return len(adopted)

    async def close(self) -> None:
        """Ends the lease; the jobs of this server have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
            leave = partial(self._storage.records.leave, self._owner)
            with contextlib.suppress(DeepaasError):
                await self._threads.run(leave, repeat=False)
        await self._threads.close()

    async def _run(self, call: Callable[[], T]) -> T:
        """Makes a call in the thread; repeats it only at the start."""
        return await self._threads.run(call, repeat=not self._tasks)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._pause())
            try:
                await self._renew()
                await self._adopt_when_healthy()
            except DeepaasError:  # the database has logged it
                self._healthy_since = None
                self._check()
            except Exception:
                logger.exception("The lease is not renewed")

    def _pause(self) -> float:
        if self._healthy_since is None:
            return min(RETRY_INTERVAL, self._interval)
        if not self._notices.come:  # cancellations are seen at a renewal only
            return min(POLL_INTERVAL, self._interval)
        return self._interval

    async def _renew(self) -> None:
        """Renews the lease, and cancels the jobs that others want cancelled."""
        before = self._jobs.running()
        name = f"{socket.gethostname()} {os.getpid()}"[:255]
        renew = partial(self._storage.records.renew, self._owner, name)
        call = asyncio.ensure_future(self._run(renew))
        while not call.done():
            await asyncio.wait([call], timeout=self._interval)
            if not call.done():
                self._check()
        await self._compare(before, call.result())
        self._renewed = time.monotonic()
        if self._healthy_since is None:
            self._healthy_since = self._renewed

    async def _compare(self, before: set[str], stored: Mapping[str, bool]) -> None:
        """Compares the jobs that ran before a renewal with those in the records."""
        for uuid in before & self._jobs.running() - stored.keys():
            logger.warning("%s is lost: another server has ended it.", uuid)
            self._jobs.lose(uuid)
        for uuid, cancel in stored.items():
            if cancel:
                self._jobs.cancel(uuid)
            if uuid not in before and not self._jobs.runs(uuid):
                # The answer to its INSERT was lost with the connection.
                give_up = partial(self._storage.records.give_up, uuid, self._owner)
                if await self._run(give_up):
                    logger.warning("%s was stored, but has not begun.", uuid)

    def _check(self) -> None:
        """Interrupts all jobs if the lease has ended: other servers end them."""
        limit = self._seconds + 2 * self._interval
        if time.monotonic() - self._renewed > limit:
            self._jobs.interrupt_all(
                "interrupted: the server could not reach the database of jobs "
                f"for {limit:g} s"
            )

    async def _adopt_when_healthy(self) -> None:
        # After an outage, other servers need some time to renew their leases.
        since = self._healthy_since
        if since is not None and time.monotonic() - since >= self._grace:
            await self._adopt()

    async def _adopt(self) -> list[str]:
        """Ends the open jobs of servers that have ended."""
        records, files = self._storage.records, self._storage.files
        lease = self._seconds + self._interval
        adopt = partial(records.adopt, self._owner, lease, self._grace)
        adopted = await self._run(adopt)
        if adopted:
            logger.warning("%d jobs of servers that ended are over.", len(adopted))
            try:
                await asyncio.to_thread(files.remove_unfinished, adopted)
            except (DeepaasError, OSError) as error:  # they are removed later
                logger.warning("Drafts of results are left: %s", error)
        return adopted
