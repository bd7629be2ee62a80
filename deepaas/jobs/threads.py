"""The threads that use the database: the event loop never waits for it."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deepaas.errors import StoreUnavailable

T = TypeVar("T")

RETRY_INTERVAL = 0.1
"""Seconds between two tries of a call that has found the database locked."""

PERSIST_INTERVAL = 1.0
"""The same for results of jobs, which wait longer."""


class DatabaseThreads:
    """Threads that make calls; with one thread the calls keep their order.

    A call that raises StoreUnavailable is repeated for up to `timeout` seconds, counted
    from when it came. So many calls that wait together fail together. No thread waits
    meanwhile, so that calls that are not repeated go on.
    """

    def __init__(self, count: int, name: str, timeout: float) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._timeout = timeout
        self._turn = asyncio.Semaphore(count)
        """Held by a call that may be repeated."""
        self._closing = asyncio.Event()

    async def run(self, call: Callable[[], T], *, repeat: bool = True) -> T:
        """Returns what a call returns; without `repeat` it is tried once."""
        loop = asyncio.get_running_loop()
        if not repeat:
            return await loop.run_in_executor(self._threads, call)
        deadline = loop.time() + self._timeout
        async with self._turn:
            while True:
                try:
                    return await loop.run_in_executor(self._threads, call)
                except StoreUnavailable:
                    if loop.time() >= deadline or self._closing.is_set():
                        raise
                await wait_for(self._closing, RETRY_INTERVAL)

    def stop_repeating(self) -> None:
        """Repeats no call from now on: the server ends."""
        self._closing.set()

    async def close(self) -> None:
        """Ends the threads after the calls that have come."""
        self.stop_repeating()
        await asyncio.to_thread(self._threads.shutdown)


async def wait_for(event: asyncio.Event, seconds: float) -> None:
    """Waits for an event, for so many seconds at most."""
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


async def persist(call: Callable[[], T], given_up: asyncio.Event) -> T:
    """Returns what a call in a thread returns; repeats it while it raises
    StoreUnavailable, until it is given up."""
    while True:
        thread = asyncio.ensure_future(asyncio.to_thread(call))
        try:
            return await asyncio.shield(thread)
        except StoreUnavailable:
            if given_up.is_set():
                raise
        except asyncio.CancelledError:
            await asyncio.wait([thread])  # what it writes is there, and can be removed
            raise
        await wait_for(given_up, PERSIST_INTERVAL)
