"""An executor over queues: one for all calls, or others for trainings and questions."""

import asyncio
import logging
import pickle
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias

from deepaas.errors import CallTimeout, DeepaasError, Unavailable, WorkerDied
from deepaas.executors.base import Ended, Event, ExecutorStatus, Printed
from deepaas.executors.messages import (
    DESCRIBE,
    LOAD,
    METADATA,
    Call,
    Reply,
    TensorForm,
)
from deepaas.executors.queue import Queue
from deepaas.model.description import ModelDescription, unpack_description

logger = logging.getLogger(__name__)

MAX_WORKER_METADATA_SECONDS = 0.25
"""Seconds that `get_metadata` may take in a worker, which has calls to make."""

METADATA_SECONDS = 60.0
"""Seconds that it may take in a describer."""

DESCRIBE_SECONDS = 60.0
"""Seconds that the author's code may take to describe a model that is loaded."""

LOAD_SECONDS = 300.0
"""Seconds that the author's code may take to load the values of a call."""

READ_AGAIN_SECONDS = 60.0
"""Seconds for which callers wait until a model is read again."""


Given: TypeAlias = Mapping[str, Any] | bytes | Path
"""Keyword arguments; pickled as bytes, or in a file."""


def _message(
    method: str,
    kwargs: Given,
    media_type: str | None,
    reports: bool,
    tensors: TensorForm | None,
    uploads: Sequence[str],
) -> Call:
    files = [(path, path) for path in uploads] if uploads else ()
    if isinstance(kwargs, bytes):
        return Call(method, {}, media_type, reports, kwargs, tensors, files)
    if isinstance(kwargs, Path):
        return Call(method, {}, media_type, reports, str(kwargs), tensors, files)
    return Call(method, kwargs, media_type, reports, b"", tensors, files)


class QueuedExecutor:
    """The executor of one model. Its queues may have pools of any kind.

    `describers` answers questions; its pool has a method `renew`, from which on new
    processes answer. Without it, the workers answer them.
    """

    def __init__(
        self,
        queue: Queue,
        trainings: Queue | None = None,
        describers: Queue | None = None,
    ) -> None:
        self._queue = queue
        self._trainings = trainings or queue
        self._describers = describers
        self._queues = [queue] if trainings is None else [queue, trainings]
        self._description: ModelDescription | None = None
        self._describing = asyncio.Lock()
        self._quick_metadata = True
        """A worker may be asked for metadata: this did not take long so far."""
        self._next_reading: asyncio.Task[None] | None = None
        """Reads the model again, and has not begun."""
        self._tasks: set[asyncio.Task[None]] = set()
        """Those that read the model again."""

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
        kwargs: Given,
        *,
        media_type: str | None = None,
        timeout: float | None = None,
        finish: bool = False,
        label: str = "",
        reports: bool = False,
        tensors: TensorForm | None = None,
        on_event: Callable[[Event], None] | None = None,
        uploads: Sequence[str] = (),
    ) -> Coroutine[Any, Any, Reply]:
        """Call a method of the model, as `Executor.call` describes."""
        message = _message(method, kwargs, media_type, reports, tensors, uploads)
        call = self._queue_of(method).run(
            message,
            timeout=timeout,
            finish=finish,
            label=label,
            on_event=on_event,
        )
        return self._train(call) if method == "train" else call

    def call_together(
        self,
        calls: Sequence[tuple[Given, str | None, Sequence[str]]],
        *,
        timeout: float | None = None,
        label: str = "",
        tensors: TensorForm | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> Coroutine[Any, Any, list[Reply]]:
        """Make predictions together, as `Executor.call_together` describes."""
        return self._queue.run_together(
            [
                _message("predict", kwargs, media_type, False, tensors, uploads)
                for kwargs, media_type, uploads in calls
            ],
            timeout=timeout,
            label=label,
            on_event=on_event,
        )

    async def _train(self, call: Coroutine[Any, Any, Reply]) -> Reply:
        """Train, and begin to read again what the model can be asked for now."""
        reply = await call
        if self._describers is not None:
            self._begin_reading(self._describers)
        return reply

    def admit(self, method: str) -> ExitStack:
        """Reserve room for a call, as `Executor.admit` describes."""
        return self._queue_of(method).admit(method)

    # -- questions

    @property
    def description(self) -> ModelDescription:
        """Return what is known of the model. Raises Unavailable before the start."""
        if self._description is None:
            if self._queue.described is None:
                raise Unavailable("The model is not loaded yet.")
            self._description = unpack_description(self._queue.described)
        return self._description

    async def documented(self) -> ModelDescription:
        """Return it with its documents, as `Executor.documented` describes."""
        await self.renewed()
        if self.description.documents is None:
            async with self._describing:
                if self.description.documents is None:
                    queue = self._describers
                    if queue is None or self._can_ask_worker():
                        queue = self._queue
                    self._description = await self._describe(queue)
        return self.description

    async def renewed(self) -> bool:
        """Wait for what is being read, as `Executor.renewed` describes."""
        readings = list(self._tasks)
        if readings:
            await asyncio.wait(readings, timeout=READ_AGAIN_SECONDS)
        return bool(readings)

    async def read_again(self) -> None:
        """Read the model in a new process, as `Executor.read_again` describes."""
        if self._describers is not None:
            await asyncio.shield(self._begin_reading(self._describers))

    def _begin_reading(self, describers: Queue) -> asyncio.Task[None]:
        """Read the model again; those who ask before it has begun share it."""
        if self._next_reading is None:
            self._next_reading = asyncio.create_task(self._read(describers))
            self._tasks.add(self._next_reading)
            self._next_reading.add_done_callback(self._tasks.discard)
        return self._next_reading

    async def _read(self, describers: Queue) -> None:
        async with self._describing:
            self._next_reading = None
            pool: Any = describers.pool
            pool.renew()
            try:
                self._description = await self._describe(describers)
            except Unavailable:
                pass  # the server is stopping
            except (DeepaasError, pickle.UnpicklingError) as error:
                model = self._queue.pool.model
                logger.warning("%s cannot be read again: %s", model, error)

    async def _describe(self, queue: Queue) -> ModelDescription:
        return unpack_description(
            await self._ask(queue, DESCRIBE, {}, DESCRIBE_SECONDS)
        )

    async def metadata(self) -> bytes:
        """Call `get_metadata`, as `Executor.metadata` describes."""
        if self._describers is None or (
            self._quick_metadata and self._can_ask_worker()
        ):
            limit = MAX_WORKER_METADATA_SECONDS
            if self._describers is None:
                limit = METADATA_SECONDS
            try:
                kwargs = {"seconds": limit}
                found = await self._ask(self._queue, METADATA, kwargs, limit + 1)
            except (WorkerDied, CallTimeout):
                self._quick_metadata = False
                raise
            if found or self._describers is None:
                return found
            self._quick_metadata = False
        kwargs = {"seconds": METADATA_SECONDS}
        return await self._ask(self._describers, METADATA, kwargs, METADATA_SECONDS + 1)

    async def load(self, kwargs: Mapping[str, Any]) -> bytes:
        """Load the values of a call, as `Executor.load` describes."""
        queue = self._describers or self._queue
        return await self._ask(queue, LOAD, kwargs, LOAD_SECONDS)

    def _can_ask_worker(self) -> bool:
        """Tell whether a worker has nothing else to do, and no describer runs."""
        return self._queue.idle and not (self._describers and self._describers.idle)

    async def _ask(
        self, queue: Queue, question: str, kwargs: Mapping[str, Any], timeout: float
    ) -> bytes:
        # With `finish`, since one question more costs less than another process.
        call = Call(question, kwargs)
        reply = await queue.run(call, timeout=timeout, finish=True)
        return bytes(reply.body or b"")

    # -- status and end

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
        if self._describers is not None:
            self._describers.listen(None, on_output)

    async def reload(self) -> None:
        """Replace the workers of all queues, as `Executor.reload` describes."""
        before = self.description
        self._queue.forget_description()
        try:
            for queue in self._queues:
                await queue.pool.reload()
        except BaseException:
            self._queue.described = before.pack()
            raise
        if self._queue.described is not None:
            self._description = unpack_description(self._queue.described)
        if self._describers is not None:
            await self._describers.pool.reload()

    async def close(self, grace: float) -> None:
        """End all queues; running calls have `grace` seconds."""
        queues = [queue.close(grace) for queue in self._queues]
        if self._describers is not None:
            queues.append(self._describers.close(0))
        await asyncio.gather(*queues)
        if self._tasks:
            await asyncio.wait(self._tasks)
