"""Pools of places on a Ray cluster: where they differ from pools on this machine.

Everything else is that of `local.py`: when a worker is started, replaced or ended.
"""

import errno
import importlib.util

from deepaas.errors import StartError
from deepaas.executors.base import Cluster, Executor, Limits
from deepaas.executors.executor import QueuedExecutor
from deepaas.executors.gateway_process import Gateway, Link, Resources
from deepaas.executors.local import DescriberPool, KeptPool, TrainingPool
from deepaas.executors.messages import Envelope
from deepaas.executors.output import log_output
from deepaas.executors.process import Launch
from deepaas.executors.queue import Queue
from deepaas.executors.ray_worker import RemoteWorker
from deepaas.executors.worker_pool import WorkerPool
from deepaas.executors.workers import Worker
from deepaas.model.loading import ModelRef


def ray_executor(
    ref: ModelRef,
    where: Cluster,
    limits: Limits,
    *,
    warm: bool,
    envelope: Envelope,
    describe: bool,
) -> Executor:
    """Make an executor with worker processes in places on a cluster.

    Raises StartError where Ray is not installed, or cannot be used in this way.
    """
    launch = Launch.from_this_process(
        ref, warm=warm, envelope=envelope, describe=describe
    )
    kept = RayKeptPool(launch, where, limits)
    queue = Queue(kept, limits.max_queued)
    silent = launch.with_start(describe=False)
    trainings = describers = None
    if where.train_workers:
        trainings = Queue(RayTrainingPool(silent, where, limits), limits.max_queued)
    if describe:
        pool = RayDescriberPool(silent.with_start(warm=False), where, limits, kept)
        describers = Queue(pool, limits.max_queued)
    executor = QueuedExecutor(queue, trainings, describers)
    executor.listen(on_output=log_output)
    return executor


def _check(where: Cluster) -> None:
    if where.address.startswith("ray://"):
        raise StartError(
            f"--ray-address {where.address}: Ray Client cannot stream. Run a Ray node "
            "on this machine, and name the head as HOST:PORT."
        )
    if importlib.util.find_spec("ray") is None:
        raise StartError("--ray-address needs Ray: pip install 'deepaas[ray]'")


def _gateway(where: Cluster) -> Gateway:
    """Return the gateway that all executors of this value share."""
    if not where.shared:
        _check(where)
        where.shared.append(Gateway(where.address))
    gateway: Gateway = where.shared[0]
    return gateway


class _Places(WorkerPool):
    """The links of a pool: one for each number of a worker, kept while it lives."""

    def __init__(self, launch: Launch, where: Cluster, limits: Limits) -> None:
        super().__init__(launch, where, limits)
        self._gateway = _gateway(where)
        self._wanted = Resources(where.cpus, where.gpus, where.resources)
        self._links: dict[int, Link] = {}
        self._attached = False

    def _new_worker(self, number: int, gpu: str | None) -> Worker:
        link = self._links.get(number)
        if link is None or link.lost is not None:
            if not self._attached:
                self._attached = True
                self._gateway.acquire()
            link = self._gateway.open_link(self.model, self._wanted)
            self._links[number] = link
        return RemoteWorker(self._next_launch(), link, self, number=number)

    async def _connect(self, worker: Worker) -> None:
        await self._gateway.connect()
        await super()._connect(worker)

    async def close(self) -> None:
        """End the workers, then their places, and the gateway after its last pool."""
        await super().close()
        for link in self._links.values():
            link.close()
        self._links.clear()
        if self._attached:
            self._attached = False
            await self._gateway.release()


class RayKeptPool(_Places, KeptPool):
    """Workers in places that are kept, each with what the cluster reserves for it."""

    def shared_link(self) -> Link:
        """Return the way to a place that may run one more process of the model.

        Raises OSError where there is none at the moment.
        """
        links = [link for link in self._links.values() if link.lost is None]
        for link in links:
            if link.facts is not None:
                return link
        raise OSError(errno.EAGAIN, "the model has no place on the cluster now")


class RayTrainingPool(_Places, TrainingPool):
    """Places for trainings: the cluster reserves something only while one runs."""

    async def _refill(self, worker: Worker) -> None:
        link = self._links.pop(worker.number, None)
        if link is not None:
            link.close()
        await super()._refill(worker)


class RayDescriberPool(DescriberPool):
    """Describers beside the workers of kept places, which have the model's packages.

    The cluster reserves nothing more for them.
    """

    def __init__(
        self, launch: Launch, where: Cluster, limits: Limits, kept: RayKeptPool
    ) -> None:
        super().__init__(launch, where, limits)
        self._kept = kept

    def _new_worker(self, number: int, gpu: str | None) -> Worker:
        """Order a process. Raises OSError where the model has no place now."""
        link = self._kept.shared_link()
        return RemoteWorker(self._next_launch(), link, self, number=number)
