"""A client that another program makes of /openapi.json, as callers do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.server import ROOT

PROGRAM = Path(sys.executable).parent / "openapi-python-client"

PICTURE = ROOT / "examples/digits/deepaas_digits/data/three.png"

CALLS = f"""
import sys
from pathlib import Path

from made import Client
from made.api.models import predict_digits
from made.api.predictions import predict_job_digits
from made.api.trainings import train_digits, train_list_digits
from made.models import (
    Job, Prediction, PredictDigitsBody, PredictDigitsPrefer, TrainDigitsFilesBody,
    TrainDigitsJsonBody,
)
from made.types import File

with Client(sys.argv[1]) as client:
    with open({str(PICTURE)!r}, "rb") as picture:
        body = PredictDigitsBody(data=File(payload=picture, file_name="three.png"))
        found = predict_digits.sync(client=client, body=body)
    assert isinstance(found, Prediction), found
    assert found.label == 3, found
    assert len(found.probabilities) == 10
    with open({str(PICTURE)!r}, "rb") as picture:
        body = PredictDigitsBody(data=File(payload=picture, file_name="three.png"))
        job = predict_digits.sync(
            client=client, body=body, prefer=PredictDigitsPrefer.RESPOND_ASYNC
        )
    assert isinstance(job, Job), job
    assert predict_job_digits.sync(job.uuid, client=client).uuid == job.uuid
    for kind in (TrainDigitsFilesBody, TrainDigitsJsonBody):
        body = kind(epochs=1, hidden_units=8)
        training = train_digits.sync(client=client, body=body)
        assert isinstance(training, Job), training
        assert training.args["hidden_units"] == 8
    listed = train_list_digits.sync(client=client, limit=1)
    assert [one.uuid for one in listed] == [training.uuid]
"""


@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.version_info < (3, 11), reason="it needs Python 3.11")
def test_a_generated_client_uploads_a_file(serve: Serve, tmp_path):
    pytest.importorskip("deepaas_digits")
    env = {"DIGITS_MODEL_DIR": str(tmp_path / "model")}
    server = serve("--model-name=digits", env=env)
    (tmp_path / "openapi.json").write_bytes(server.get("/openapi.json").content)
    (tmp_path / "config.json").write_text('{"post_hooks": []}')  # no formatting
    made = subprocess.run(
        [
            *(PROGRAM, "generate", "--meta=none", "--fail-on-warning"),
            *("--config=config.json", "--path=openapi.json", "--output-path=made"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    called = subprocess.run(
        [sys.executable, "-c", CALLS, server.url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert called.returncode == 0, called.stdout + called.stderr
