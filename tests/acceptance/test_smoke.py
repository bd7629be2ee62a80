"""A short proof that an installation works: nothing of the package is imported here."""

from __future__ import annotations

import hashlib
import os

import pytest

pytestmark = pytest.mark.smoke

MODELS = ("echo", "upload", "exit_in_predict")


@pytest.fixture(scope="module")
def server(serve_module):
    targets = [f"--model={name}=tests/models/{name}.py" for name in MODELS]
    return serve_module(*targets, errors_expected=True)


def test_models_are_listed(server):
    answer = server.get("/v2/models/")
    assert answer.status_code == 200
    assert {*MODELS} <= {model["id"] for model in answer.json()["models"]}


def test_an_argument_reaches_the_model(server):
    answer = server.post("/v2/models/echo/predict/", params={"n": 7})
    assert answer.status_code == 200
    assert answer.json() == {"n": 7}


def test_a_bad_argument_is_named(server):
    answer = server.post("/v2/models/echo/predict/", params={"n": "seven"})
    assert answer.status_code == 422
    assert answer.json() == {"n": ["Not a valid integer."]}


def test_a_file_reaches_the_model(server):
    content = os.urandom(3_000_000)
    answer = server.post("/v2/models/upload/predict", files={"data": content})
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "OK",
        "predictions": hashlib.sha256(content).hexdigest(),
    }


def test_a_dead_worker_is_replaced(server):
    url = "/v2/models/exit_in_predict/predict/"
    answer = server.post(url)
    assert answer.status_code == 500
    assert "died" in answer.json()["message"]
    answer = server.post(url, params={"die": "false"})
    assert answer.status_code == 200
    assert answer.json()["predictions"] == "alive"


def test_the_document_has_the_models(server):
    paths = server.get("/swagger.json").json()["paths"]
    assert {f"/v2/models/{name}/predict/" for name in MODELS} <= set(paths)


def test_the_page_is_there(server):
    assert server.get("/api").status_code == 200


def test_no_model_is_one_message(fail_to_start):
    ended = fail_to_start("--model-name", "nobody")
    assert ended.code == 1
    assert "Traceback" not in ended.output
