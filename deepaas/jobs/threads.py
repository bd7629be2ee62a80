"""The threads that use the database: nothing on the event loop waits for it."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deepaas.errors import StoreUnavailable

T = TypeVar("T")

RETRY_INTERVAL = 0.1
"""Seconds between two tries of a call that has found the database locked."""


class DatabaseThreads:
    """Threads that make calls in the order in which these come.

    A call that raises StoreUnavailable is repeated for up to `timeout` seconds, counted
    from when it came. So many calls that wait together fail together.
    """

    def __init__(self, count: int, name: str, timeout: float) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._timeout = timeout
        self._hurried = threading.Event()

    async def run(self, call: Callable[[], T], *, repeat: bool = True) -> T:
        """Returns what a call returns; without `repeat` it is tried once."""
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + (self._timeout if repeat else 0)
        return await loop.run_in_executor(self._threads, self._call, call, deadline)

    def _call(self, call: Callable[[], T], deadline: float) -> T:
        while True:
            try:
                return call()
            except StoreUnavailable:
                if time.monotonic() >= deadline or self._hurried.wait(RETRY_INTERVAL):
                    raise

    def hurry(self) -> None:
        """Repeats no call from now on."""
        self._hurried.set()

    async def close(self) -> None:
        """Ends the threads after the calls that have come."""
        self.hurry()
        await asyncio.to_thread(self._threads.shutdown)
