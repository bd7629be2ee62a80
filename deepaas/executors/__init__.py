"""Executors: where a model computes. The server imports no more than this."""

from deepaas.executors.base import (
    Began,
    Cluster,
    Ended,
    Event,
    Executor,
    ExecutorStatus,
    Limits,
    Line,
    Local,
    Printed,
    WorkerState,
    WorkerStatus,
    rotated,
)
from deepaas.executors.messages import Envelope, Reply, Stream, TensorForm
from deepaas.model.loading import ModelRef

__all__ = [
    "Began",
    "Cluster",
    "Ended",
    "Event",
    "Executor",
    "ExecutorStatus",
    "Limits",
    "Line",
    "Local",
    "Printed",
    "Reply",
    "Stream",
    "TensorForm",
    "WorkerState",
    "WorkerStatus",
    "create_executor",
    "rotated",
]


def create_executor(
    ref: ModelRef,
    where: Local | Cluster | None = None,
    limits: Limits | None = None,
    *,
    warm: bool = True,
    envelope: Envelope = Envelope.TEXT,
    describe: bool = True,
) -> Executor:
    """Make the executor of a model, with the workers that `where` names.

    `describe` is for those who have not loaded the model themselves: they can ask what
    it is, and have values loaded.
    They are started with the environment and the folder that this process has now.
    """
    # A worker imports this package too, and has no use for the parent's side.
    if isinstance(where, Cluster):
        from deepaas.executors.ray import ray_executor

        limits = limits or Limits()
        return ray_executor(
            ref, where, limits, warm=warm, envelope=envelope, describe=describe
        )

    from deepaas.executors.local import local_executor

    return local_executor(
        ref,
        where or Local(),
        limits or Limits(),
        warm=warm,
        envelope=envelope,
        describe=describe,
    )
