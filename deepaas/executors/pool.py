"""Pool: what fills the slots of a queue, as the queue knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from deepaas.executors.base import WorkerStatus
from deepaas.executors.calls import Slot
from deepaas.executors.messages import Call

if TYPE_CHECKING:
    from deepaas.executors.queue import Queue


class Pool(Protocol):
    """Starts, measures and replaces the slots of one queue.

    It offers a slot when it is warm and free, and withdraws it when it is lost.
    """

    queue: Queue
    """Set by the queue."""

    @property
    def model(self) -> str:
        """Return the model's name."""

    @property
    def size(self) -> int:
        """Return how many slots there may be."""

    @property
    def spared(self) -> int:
        """Return how many warm slots trainings leave for other calls."""

    @property
    def slots(self) -> Sequence[Slot]:
        """Return the slots that there are, warm or not."""

    @property
    def replaced(self) -> Counter[str]:
        """Return how many slots were lost or replaced, by cause."""

    def pack(self, call: Call) -> Any:
        """Return a call as a slot sends it; `len` gives its size in bytes.

        Raises BadBody or ModelRaised for arguments that cannot be sent.
        """

    def launch(self) -> None:
        """Begin to start the slots. Raises StartError."""

    async def start(self) -> None:
        """Wait until all slots that are kept are warm. Raises StartError."""

    def free(self, offered: int) -> int:
        """Return how many more calls can begin now, of `offered` slots offered."""

    def request(self, waiting: int) -> None:
        """Note that so many calls wait and no slot is free: it may start slots."""

    def release(self, slot: Any) -> None:
        """Offer a slot that has become free, or end it."""

    def statuses(self) -> list[WorkerStatus]:
        """Describe the slots as they are now."""

    async def measure(self) -> None:
        """Measure the memory of the slots, for `statuses`."""

    async def reload(self) -> None:
        """Replace the slots that are kept, as `Executor.reload` has it."""

    def stop(self) -> None:
        """Start no more slots."""

    async def close(self) -> None:
        """End all slots; the queue has resolved their calls.

        May be called twice, and before the slots have started.
        """
