"""An executor over queues: one for all calls, or one of its own for trainings."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from deepaas.executors.base import Ended, Event, ExecutorStatus, Printed
from deepaas.executors.messages import Call, Reply
from deepaas.executors.queue import Queue


class QueuedExecutor:
    """The executor of one model. Its queues may have pools of any kind."""

    def __init__(self, queue: Queue, trainings: Queue | None = None) -> None:
        self._queue = queue
        self._trainings = trainings or queue
        self._queues = [queue] if trainings is None else [queue, trainings]

    def _queue_of(self, method: str) -> Queue:
        return self._trainings if method == "train" else self._queue

    def launch(self) -> None:
        """Begin to start the workers of each queue."""
        for queue in self._queues:
            queue.pool.launch()

    async def start(self) -> None:
        """Wait until each queue has its workers. Raises StartError."""
        try:
            for queue in self._queues:
                await queue.pool.start()
        except BaseException:
            await self.close(0)
            raise

    def call(
        self,
        method: str,
        kwargs: Mapping[str, Any],
        *,
        media_type: str | None = None,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        reports: bool = False,
        tensors: bool = False,
        on_event: Callable[[Event], None] | None = None,
    ) -> Coroutine[Any, Any, Reply]:
        """Call a method of the model, as `Executor.call` describes."""
        return self._queue_of(method).run(
            Call(method, kwargs, media_type, reports, tensors),
            timeout=timeout,
            finish=finish,
            label=label,
            on_event=on_event,
        )

    def admit(self, method: str) -> ExitStack:
        """Reserve room for a call, as `Executor.admit` describes."""
        return self._queue_of(method).admit(method)

    def hold(self) -> AbstractContextManager[None]:
        """Let predictions wait meanwhile, as `Executor.hold` describes."""
        return self._queue.hold()

    def status(self) -> ExecutorStatus:
        """Describe the workers and the calls of all queues."""
        status = self._queue.status()
        for queue in self._queues[1:]:
            other = queue.status()
            status = ExecutorStatus(
                workers=status.workers + other.workers,
                waiting={**status.waiting, **other.waiting},
                running={**status.running, **other.running},
                replaced=Counter(status.replaced) + Counter(other.replaced),
                cause=status.cause,  # of the workers that take any call
            )
        return status

    async def measure(self) -> ExecutorStatus:
        """Measure the memory of the workers, then describe them."""
        await asyncio.gather(*(queue.pool.measure() for queue in self._queues))
        return self.status()

    def listen(
        self,
        on_end: Callable[[Ended], None] | None = None,
        on_output: Callable[[Printed], None] | None = None,
        on_ready: Callable[[float], None] | None = None,
    ) -> None:
        """Call these for all queues, as `Executor.listen` describes."""
        for queue in self._queues:
            queue.listen(on_end, on_output)
            queue.on_ready += [] if on_ready is None else [on_ready]

    async def reload(self) -> None:
        """Replace the workers of all queues, as `Executor.reload` describes."""
        for queue in self._queues:
            await queue.pool.reload()

    async def close(self, grace: float) -> None:
        """End all queues; running calls have `grace` seconds."""
        await asyncio.gather(*(queue.close(grace) for queue in self._queues))
