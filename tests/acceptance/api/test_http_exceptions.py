"""aiohttp's exceptions, raised by a model in predict and in train."""

import pytest

from tests.conftest import Serve
from tests.server import wait_until

MODEL = """\
from aiohttp import web
from webargs import fields

def by_hand(status):
    error = web.HTTPBadRequest(reason="by hand")
    error.set_status(status, "by hand")
    return error

WAYS = {
    "plain": lambda: web.HTTPException(reason="plain"),
    "inner": lambda: web.HTTPException(reason=ValueError("inner")),
    "server": lambda: web.HTTPServerError(reason="plain"),
    "99": lambda: by_hand(99),
    "101": lambda: by_hand(101),
    "700": lambda: by_hand(700),
    "ok": lambda: web.HTTPOk(reason="fine"),
    "bad": lambda: web.HTTPBadRequest(reason=ValueError("inner")),
}

def get_predict_args():
    return {"way": fields.Str(required=True)}

def predict(way):
    raise WAYS[way]()

get_train_args, train = get_predict_args, predict
"""

CASES = [
    ("plain", 500, "plain"),
    ("inner", 500, "inner"),
    ("server", 500, "plain"),
    ("99", 500, "by hand"),
    ("101", 500, "by hand"),
    ("700", 500, "by hand"),
    ("ok", 200, "fine"),
    ("bad", 400, "inner"),
]


@pytest.fixture(scope="module")
def server(serve_module: Serve, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "raises.py"
    path.write_text(MODEL)
    return serve_module("--model", f"m={path}", errors_expected=True)


@pytest.mark.parametrize(("way", "status", "message"), CASES)
def test_in_predict(server, way, status, message):
    answer = server.post("/v2/models/m/predict/", params={"way": way})
    assert answer.status_code == status
    assert answer.json() == {"message": message}


@pytest.mark.parametrize(("way", "status", "message"), CASES)
def test_in_train(server, way, status, message):
    jobs = "/v2/models/m/train/"
    job = jobs + server.post(jobs, params={"way": way}).json()["uuid"]
    wait_until(lambda: "result" in server.get(job).json())
    ended = server.get(job).json()
    assert ended["status"] == "error"
    assert ended["message"].rpartition(": ")[2] == message


@pytest.mark.parametrize(("way", "status", "message"), CASES)
def test_in_a_prediction_that_is_a_job(server, way, status, message):
    begun = server.post(
        "/v2/models/m/predict/",
        params={"way": way},
        headers={"Prefer": "respond-async"},
    )
    job = f"/v2/models/m/predict/{begun.json()['uuid']}"
    wait_until(lambda: "result" in server.get(job).json())
    result = server.get(f"{job}/result")
    assert (result.status_code, result.json()) == (status, {"message": message})
