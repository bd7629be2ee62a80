"""The contract holds on a real Ray cluster of a head and two nodes."""

import pytest

from deepaas.executors import Cluster, create_executor
from deepaas.executors.messages import Envelope
from tests import cluster as ray
from tests.integration.executors import contract
from tests.integration.executors.contract import ExecutorContract

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(ray_cluster):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ray.SETTINGS.items():
            patch.setenv(name, value)  # for the gateways
        patch.setattr(contract, "BOUND", 60.0)
        yield ray_cluster


class TestRay(ExecutorContract):
    @pytest.fixture(autouse=True)
    def on(self, cluster):
        self.address = cluster.address

    def make(self, ref, limits, workers):
        where = Cluster(self.address, workers=workers)
        return create_executor(ref, where, limits, envelope=Envelope.NONE)
