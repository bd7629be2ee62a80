"""Availability: the time that calls may wait while a model has no warm slot."""

import asyncio
from collections.abc import Callable

from deepaas.errors import Unavailable

MAX_FAILED_STARTS = 3
"""Starts that fail in a row until waiting calls are refused."""

MAX_COLD_SECONDS = 60.0
"""Seconds that calls wait while no slot is warm."""


class Availability:
    """Decides if calls may wait for a slot of a model.

    A model becomes unavailable when no slot is warm that takes any call, and starts
    have failed MAX_FAILED_STARTS times in a row or MAX_COLD_SECONDS have passed. It is
    available again as soon as a slot is free.
    """

    def __init__(
        self, model: str, on_unavailable: Callable[[Unavailable], None]
    ) -> None:
        self._model = model
        self._on_unavailable = on_unavailable
        self.cause: str | None = None
        """The reason why the last slot was lost, or did not start."""
        self._unavailable = False
        self._timer: asyncio.TimerHandle | None = None
        """Runs while no slot is warm."""

    def check(self) -> None:
        """Raise Unavailable if calls must not wait."""
        if self._unavailable:
            raise self._error()

    def recover(self) -> None:
        """Note that a slot is warm and free."""
        self._unavailable = False
        if self._timer is not None:
            self.stop()

    def note_none_warm(self, failed_starts: int) -> None:
        """Note that no slot is warm, after so many starts that failed in a row."""
        if failed_starts >= MAX_FAILED_STARTS:
            self._give_up()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(MAX_COLD_SECONDS, self._give_up)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._unavailable = True
        self._on_unavailable(self._error())

    def _error(self) -> Unavailable:
        return Unavailable(
            f"No worker of {self._model} is warm: {self.cause}.",
            headers={"Retry-After": "10"},
        )
