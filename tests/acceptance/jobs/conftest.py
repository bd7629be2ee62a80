"""A server with a model that trains, and what tests do with its jobs."""

import concurrent.futures
import json
import threading
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

import pytest

from tests.conftest import Serve
from tests.server import MODELS, wait_until

MODEL = f"m={MODELS / 'trains.py'}"
TRAIN = "/v2/models/m/train"
PREDICT = "/v2/models/m/predict"
ASYNC = {"Prefer": "respond-async"}
ENDED = ("done", "error", "cancelled")


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    options = ("--model", MODEL, "--raw-predictions", "--train-workers", "0")
    return serve_module(*options, errors_expected=True)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


def start(server, **params):
    files = params.pop("files", None)
    answer = server.post(TRAIN, params=params, files=files)
    assert answer.status_code == 200
    return answer.json()["uuid"]


def get(server, job, path=TRAIN):
    return server.get(f"{path}/{job}").json()


def until(server, job, *statuses, path=TRAIN):
    wait_until(lambda: get(server, job, path)["status"] in statuses)
    return get(server, job, path)


def run(server, **params):
    return until(server, start(server, **params), *ENDED)


def log(server, job):
    return server.get(f"{TRAIN}/{job}/log").text


def step(folder, number):
    Path(folder, str(number)).touch()


@contextmanager
def events(server, job, path=TRAIN):
    """Give pairs of an event's name and its data."""
    with server.client.stream("GET", f"{path}/{job}/events") as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        yield parsed(answer.iter_lines())


def parsed(lines):
    name = None
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)


def at_once(call, *several):
    """Call with each argument, all at the same moment."""
    ready = threading.Barrier(len(several))

    def wait_and_call(argument):
        ready.wait()
        return call(argument)

    with concurrent.futures.ThreadPoolExecutor(len(several)) as pool:
        return list(pool.map(wait_and_call, several))


def predict_later(server, **options):
    answer = server.post(PREDICT, headers=ASYNC, **options)
    assert answer.status_code == 202
    job = answer.json()["uuid"]
    assert urljoin(PREDICT, answer.headers["Location"]) == f"{PREDICT}/{job}"
    assert answer.headers["Preference-Applied"] == "respond-async"
    return job
