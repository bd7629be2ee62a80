"""The contract holds for places on a cluster, tried without a cluster."""

import tempfile

import pytest

from deepaas.executors import Cluster, create_executor
from deepaas.executors.messages import Envelope
from tests.integration.executors.contract import ExecutorContract
from tests.integration.executors.places import LocalGateway


class TestPlaces(ExecutorContract):
    @pytest.fixture(autouse=True)
    def no_folder_is_left(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        yield
        assert not list(tmp_path.glob("deepaas-place-*"))

    def make(self, ref, limits, workers):
        where = Cluster("auto", workers=workers)
        where.shared.append(LocalGateway())
        return create_executor(ref, where, limits, envelope=Envelope.NONE)
