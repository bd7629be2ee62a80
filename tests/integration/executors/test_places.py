"""The contract holds for places on a cluster, tried without a cluster."""

import asyncio
import json
import tempfile

import pytest

from deepaas.arguments.outcome import Values, unpack_outcome
from deepaas.errors import StartError
from deepaas.executors import Cluster, create_executor
from deepaas.executors.messages import Envelope
from deepaas.executors.place_messages import WorkerExited, WorkerWarm
from deepaas.model.loading import ModelRef
from deepaas.model.v2.wrapper import UploadedFile
from tests.integration.executors.contract import BOUND, MODEL, ExecutorContract
from tests.integration.executors.places import LocalGateway

DECLARES = """
import os
from marshmallow import validate
from webargs import fields
class Mine(fields.Int):
    pass
def get_metadata():
    return {"summary": "Declares."}
def get_predict_args():
    return {
        "n": Mine(load_default=1),
        "scan": fields.Field(type="file", location="form"),
    }
def predict(n, scan):
    return [os.path.getsize(scan.filename) + n, os.path.dirname(scan.filename)]
"""


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

    @pytest.mark.parametrize("fails", [False, True])
    async def test_a_worker_is_done_before_the_executor_is_started(
        self, fails, monkeypatch
    ):
        """Executors of one server share a gateway, and are started in turn."""
        if fails:
            monkeypatch.setenv("LOADING_FAILS", "1")
        where = Cluster("auto", workers=1)
        gateway = LocalGateway()
        where.shared.append(gateway)
        executor = create_executor(MODEL, where, envelope=Envelope.NONE)
        executor.launch()
        await gateway.connect()
        await gateway.until_told(WorkerExited if fails else WorkerWarm)
        try:
            start = asyncio.wait_for(executor.start(), BOUND)
            if fails:
                with pytest.raises(StartError, match="the weights are gone"):
                    await start
            else:
                await start
                assert json.loads((await executor.call("predict", {})).body)["n"] == 0
        finally:
            await executor.close(0)

    async def test_an_executor_ends_that_was_not_started(self):
        where = Cluster("auto", workers=1)
        gateway = LocalGateway()
        where.shared.append(gateway)
        executor = create_executor(MODEL, where, envelope=Envelope.NONE)
        executor.launch()
        await gateway.connect()
        await gateway.until_told(WorkerWarm)
        await asyncio.wait_for(executor.close(0), BOUND)

    async def test_questions_are_answered_beside_a_worker(self, tmp_path):
        path = tmp_path / "declares.py"
        path.write_text(DECLARES)
        where = Cluster("auto", workers=1)
        gateway = LocalGateway()
        where.shared.append(gateway)
        executor = create_executor(
            ModelRef("declares", str(path)), where, envelope=Envelope.NONE
        )
        try:
            await executor.start()
            assert executor.description.has_predict
            assert executor.description.arguments("predict").definition is None
            found = json.loads(await executor.metadata())
            assert found["summary"] == "Declares."
            described = await executor.documented()
            assert described.documents is not None
            file = UploadedFile("scan", str(path), "text/x-python", "declares.py")
            given = Values({"n": "3", "scan": file}, problems={})
            asked = {"method": "predict", "given": given, "shows": False}
            loaded = unpack_outcome(await executor.load(asked))
            call = executor.call("predict", loaded.kwargs, uploads=[str(path)])
            size, folder = json.loads((await call).body)
            assert size == len(DECLARES) + 3
            assert "deepaas-place-" in folder
            await executor.read_again()
            assert executor.description.has_predict
            assert len(gateway.processes) == 1  # no other place was made
        finally:
            await executor.close(0)
