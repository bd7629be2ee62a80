"""Metrics whose names the history of a job has for itself."""

import json

from tests.conftest import Serve
from tests.server import wait_until

MODEL = """\
from deepaas import progress

def train():
    for step in (1, 2):
        progress.report(step, 2, loss=0.5, **{"date": 20260101 + step})
"""


def test_a_metric_named_date(serve: Serve, tmp_path):
    model = tmp_path / "dated.py"
    model.write_text(MODEL)
    server = serve("--model", f"m={model}")
    job = "/v2/models/m/train/" + server.post("/v2/models/m/train/").json()["uuid"]
    wait_until(lambda: "result" in server.get(job).json())
    progress = server.get(job).json()["progress"]
    assert progress["metrics"] == {"loss": 0.5, "date": 20260103}
    assert progress["date"].endswith("+00:00")
    history = server.get(f"{job}/metrics").json()
    assert history["metrics.date"] == [20260102, 20260103]
    assert history["loss"] == [0.5, 0.5]
    assert all(isinstance(date, str) for date in history["date"])
    events = server.get(f"{job}/events").text
    last = [line for line in events.splitlines() if '"metrics"' in line][-1]
    shown = json.loads(last.removeprefix("data: "))
    assert shown.get("progress", shown)["metrics"]["date"] == 20260103
