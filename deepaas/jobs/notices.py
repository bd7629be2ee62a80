"""Notices between servers that share a database: something about a job has changed.

The database is the truth; a notice only saves the wait for the next look at it.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from weakref import WeakValueDictionary

from deepaas.errors import DeepaasError

logger = logging.getLogger(__name__)

CHANNEL = "deepaas_jobs"
"""The name under which PostgreSQL sends the notices."""

JOB, LOG, CANCEL, SERVER = "job", "log", "cancel", "server"
"""The first word of a notice; the second one is the uuid of the job or server."""

RECONNECT_INTERVAL = 1.0
"""Seconds after which a lost connection is made again."""

POLL_INTERVAL = 1.0
"""Seconds between two looks at the database where no notices come."""


class Notices:
    """Wakes those who wait for a notice, from a source of notices or without one.

    A notice of this server itself (`SERVER owner`), which it sends with each heartbeat,
    proves that notices come: a proxy of connections may hold them back.
    """

    def __init__(
        self,
        owner: str,
        source: Callable[[], AsyncIterator[str]] | None,
        *,
        silence: float,
    ) -> None:
        self._own = f"{SERVER} {owner}"
        self._source = source
        self._silence = silence
        """Seconds after the last notice of this server, when no notices come."""
        self._heard = float("-inf")
        self._events: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    @property
    def come(self) -> bool:
        """Tells whether notices come now."""
        return time.monotonic() - self._heard < self._silence

    def event(self, word: str, uuid: str) -> asyncio.Event:
        """Returns an event that the next such notice sets."""
        name = f"{word} {uuid}"
        event = self._events.get(name)
        if event is None:
            event = self._events[name] = asyncio.Event()
        return event

    async def listen(self, on_cancel: Callable[[str], None]) -> None:
        """Takes notices, and connects again after a failure; never returns."""
        while self._source is not None:
            try:
                async for notice in self._source():
                    self._take(notice, on_cancel)
            except DeepaasError as error:
                logger.warning("No notices of jobs come, it polls: %s", error)
            self._heard = float("-inf")
            self.wake_all()
            await asyncio.sleep(RECONNECT_INTERVAL)

    def wake_all(self) -> None:
        """Sets all events: notices may have been lost."""
        for event in list(self._events.values()):
            event.set()
        self._events.clear()

    def _take(self, notice: str, on_cancel: Callable[[str], None]) -> None:
        word, _, uuid = notice.partition(" ")
        if notice == self._own:
            self._heard = time.monotonic()
        elif word == CANCEL:
            on_cancel(uuid)
        elif word == JOB:  # the log may have come to its end
            self._wake(f"{LOG} {uuid}")
        self._wake(notice)

    def _wake(self, name: str) -> None:
        event = self._events.pop(name, None)
        if event is not None:
            event.set()
