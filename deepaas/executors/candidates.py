"""Workers that are to take the place of others as soon as they are warm."""

import asyncio
from collections.abc import Awaitable, Callable

from deepaas.errors import StartError
from deepaas.executors.calls import ExitReason
from deepaas.executors.local_worker import LocalWorker


class Candidates:
    """The workers of a pool that are started and not yet in it."""

    def __init__(self) -> None:
        self._ready: dict[LocalWorker, asyncio.Future[None]] = {}

    async def warm(
        self, worker: LocalWorker, connect: Callable[[LocalWorker], Awaitable[None]]
    ) -> None:
        """Wait until a worker is warm.

        Raises StartError with the cause if it cannot be warmed. If this is cancelled,
        the worker ends.
        """
        ready = self._ready[worker] = asyncio.get_running_loop().create_future()
        try:
            await connect(worker)
            await ready
        except asyncio.CancelledError:
            worker.retired = True
            worker.kill(ExitReason.EXIT)
            raise
        finally:
            del self._ready[worker]

    def note_ready(self, worker: LocalWorker) -> bool:
        """Note that a worker is warm, and tell whether it is a candidate."""
        if worker not in self._ready:
            return False
        self._ready[worker].set_result(None)
        return True

    def note_failed(self, worker: LocalWorker, error: StartError) -> bool:
        """Note that a worker has exited, and tell whether it was a candidate."""
        ready = self._ready.get(worker)
        if ready is None or ready.done():
            return False
        ready.set_exception(error)
        return True

    async def close(self, grace: float) -> None:
        """End all of them within `grace` seconds."""
        await asyncio.gather(*(worker.end(grace) for worker in list(self._ready)))
