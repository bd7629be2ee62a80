"""The GPUs and the memory of workers."""

from __future__ import annotations

import os
import signal

import psutil

from tests.conftest import Serve
from tests.server import MODELS, prediction, wait_until


def test_gpus(serve: Serve):
    models = (f"--model={name}={MODELS / 'environment.py'}" for name in "ab")
    server = serve(*models, "--workers=3", "--gpus=0,1", "--raw-predictions")

    def places() -> dict[str, list[str]]:
        found = server.get("/v2/health/ready").json()["models"]
        return {name: [w["gpu"] for w in found[name]["workers"]] for name in found}

    expected = {"a": ["0", "1", "0"], "b": ["1", "0", "1"]}
    assert places() == expected
    health = server.get("/v2/health/ready").json()["models"]["a"]["workers"]
    os.kill(health[1]["pid"], signal.SIGKILL)
    wait_until(lambda: "died" in server.get("/metrics").text)
    wait_until(
        lambda: all(
            worker["state"] == "idle"
            for worker in server.get("/v2/models/a/ready").json()["workers"]
        )
    )
    assert places() == expected
    workers = server.get("/v2/models/a/ready").json()["workers"]
    told = {worker["pid"]: worker["gpu"] for worker in workers}
    variable = "CUDA_VISIBLE_DEVICES"
    assert told == {pid: psutil.Process(pid).environ()[variable] for pid in told}
    answer = prediction(server.post("/v2/models/a/predict/"))
    assert answer["gpu"] == told[answer["pid"]]


def test_a_worker_that_leaks(serve: Serve):
    server = serve(
        f"--model=environment={MODELS / 'environment.py'}",
        *("--max-worker-memory", "300", "--raw-predictions"),
    )
    path = "/v2/models/environment/predict/"
    pids = set()
    for n in range(200):
        answer = server.post(path, params={"mib": 20, "n": n})
        assert prediction(answer)["n"] == n
        pids.add(prediction(answer)["pid"])
        [worker] = server.get("/v2/models/environment/ready").json()["workers"]
        assert worker["memory"] < 340 << 20
    assert 10 <= len(pids) <= 25
    assert 'replacements_total{cause="memory"' in server.get("/metrics").text
