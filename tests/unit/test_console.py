"""The lines for the person who starts the server."""

import io
import sys

import pytest

from deepaas.config import Settings
from deepaas.console import (
    describe_addresses,
    describe_ready,
    describe_stop,
    say,
)
from deepaas.executors import ExecutorStatus, Local, WorkerState, WorkerStatus
from deepaas.gpus import is_gpu_visible


@pytest.mark.parametrize(
    ("where", "line"),
    [
        (
            Local(1, train_workers=1),
            "m: ready in 2.1 s, 1 worker, trainings in a process of their own",
        ),
        (
            Local(4, train_workers=2),
            "m: ready in 2.1 s, 4 workers, trainings in up to 2 processes of their own",
        ),
        (
            Local(1),
            "m: ready in 2.1 s, 1 worker, "
            "trainings in this worker: predictions wait meanwhile",
        ),
        (
            Local(2),
            "m: ready in 2.1 s, 2 workers, "
            "trainings in these workers, except in the last free one",
        ),
    ],
)
def test_a_model_that_is_ready(where, line):
    assert describe_ready("m", 2.149, where, trains=True) == line


def test_a_server_without_trainings():
    line = describe_ready("m", 0.04, Local(1, train_workers=1), trains=False)
    assert line == "m: ready in 0.0 s, 1 worker"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:5000"),
        ("::", "http://[::1]:5000"),
        ("::1", "http://[::1]:5000"),
        ("192.0.2.7", "http://192.0.2.7:5000"),
    ],
)
def test_an_address_that_opens(host, url):
    lines = describe_addresses(Settings(), host, 5000)
    assert lines[0] == f"The page is at           {url}/ui/"
    assert lines[1] == f"The API is at            {url}/v2/"
    assert len(lines) == 4


def test_the_addresses_without_pages():
    settings = Settings(doc_endpoint=False, base_path="/x", tls_cert="c")
    lines = describe_addresses(settings, "127.0.0.1", 1)
    assert lines == [
        "The API is at            https://127.0.0.1:1/x/v2/",
        "The models are at        https://127.0.0.1:1/x/v2/models/",
    ]


@pytest.mark.parametrize(
    ("running", "waiting", "line"),
    [
        ({}, {}, "Stopping."),
        (
            {"predict": 2},
            {},
            "Stopping: 2 predictions may run for 30 s more. "
            "A second signal (Ctrl-C) ends all at once.",
        ),
        (
            {"predict": 1, "train": 1},
            {"predict": 3},
            "Stopping: 1 prediction may run for 30 s more, 1 training cannot finish, "
            "3 waiting calls cannot begin. A second signal (Ctrl-C) ends all at once.",
        ),
    ],
)
def test_a_server_that_stops(running, waiting, line):
    status = ExecutorStatus([], waiting, running, {})
    assert describe_stop([status], 30.0) == line


def test_a_name_that_the_locale_cannot_encode(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("ñ: loading …")
    assert raw.getvalue() == b"\\xf1: loading \\u2026\n"
    sys.stdout.close()
    say("no reader")


def worker(state=WorkerState.BUSY, *, trains=False):
    return WorkerStatus(state, 1, 0, 0.0, trains=trains)


@pytest.mark.parametrize(
    ("workers", "trainings", "expected"),
    [
        ([worker()], 1, True),
        ([worker()], 0, False),
        ([worker(), worker(WorkerState.IDLE)], 1, False),
        ([worker(), worker(trains=True)], 1, False),
        ([worker(WorkerState.STARTING)], 0, False),
    ],
)
def test_whether_predictions_wait_for_a_training(workers, trainings, expected):
    status = ExecutorStatus(workers, {}, {"train": trainings}, {})
    assert status.trains_in_all is expected


@pytest.mark.parametrize(
    ("device", "environment", "visible"),
    [
        (None, {}, False),
        ("nvidia0", {}, True),
        ("nvidiactl", {}, False),
        ("nvidia0", {"CUDA_VISIBLE_DEVICES": "1"}, True),
        ("nvidia0", {"CUDA_VISIBLE_DEVICES": ""}, False),
        ("nvidia0", {"CUDA_VISIBLE_DEVICES": "-1"}, False),
        ("kfd", {}, True),
        ("kfd", {"HIP_VISIBLE_DEVICES": "-1"}, False),
        ("dxg", {}, True),
    ],
)
def test_whether_a_gpu_is_visible(tmp_path, device, environment, visible):
    (tmp_path / "dev").mkdir()
    if device is not None:
        (tmp_path / "dev" / device).touch()
    assert is_gpu_visible(environment, str(tmp_path)) is visible
