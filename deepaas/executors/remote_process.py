"""The process of a worker in a place, as far as the server knows it."""

import asyncio

from deepaas.executors.place_messages import WorkerExited

LOST = "lost"
"""The reason of an exit for metrics: the place or its node is gone."""


class RemoteProcess:
    """The state of the process of a remote worker, and its end."""

    def __init__(self) -> None:
        self.pid = 0
        """Its number on its node; 0 before it was started."""
        self.memory = 0
        """Bytes, when it was last measured."""
        self.failure: str | None = None
        """The reason for which it did not start, or was killed."""
        self.gone = asyncio.Event()
        self._death = "it has not ended"
        self._cause = ""
        self._reason = ""

    def note_exit(self, exited: WorkerExited) -> None:
        """Note its end, as the place tells it."""
        self.failure = self.failure or exited.failure
        self._death, self._reason = exited.death, exited.reason
        self._cause = self.failure or exited.cause

    def note_loss(self, words: str) -> None:
        """Note that it is lost with its place."""
        self._death, self._reason = words, LOST
        self._cause = self.failure or words

    def cause(self) -> str:
        """Return why a model has lost this worker."""
        return self._cause

    def death(self) -> str:
        """Return what the process died of."""
        return self._death

    def exit_reason(self, *, warmed: bool) -> str:
        """Return in one word why it ended, for metrics."""
        return self._reason if warmed or self._reason != LOST else "start"
