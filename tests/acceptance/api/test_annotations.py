"""Annotations as arguments: values, 422s, documents, jobs."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Serve
from tests.server import MODELS, prediction

KINDS = MODELS / "annotated_kinds.py"
FILE = {"image": ("a.txt", b"text", "text/plain")}
PREDICT = "/v2/models/annotated/predict/"
RUN = "00000000-0000-0000-0000-000000000007"


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    names = ("Method", "Class", "Static", "Callable", "Decorated", "Positional")
    names += ("Injected", "KeywordsOnly", "Batched", "Accepts", "Partial")
    kinds = (f"--model={name}={KINDS}:{name}" for name in names)
    model = f"--model=annotated={MODELS / 'annotated.py'}"
    return serve_module("--raw-predictions", model, *kinds)


def received(server, *, data=None, files=None):
    answer = server.post(PREDICT, data=data or {}, files={**FILE, **(files or {})})
    assert answer.status_code == 200, answer.text
    return prediction(answer)


def test_defaults(server):
    assert received(server) == {
        "image": ["UploadedFile", "text"],
        "threshold": ["float", "0.5"],
        "count": ["int", "1"],
        "mode": ["str", "fast"],
        "own_mode": ["Mode", "Mode.EXACT"],
        "level": ["NoneType", "None"],
        "box": ["Box", "Box(x=0.5, mode=<Mode.FAST: 'fast'>, tags=[])"],
        "boxes": ["list"],
        "scans": ["list"],
        "notes": ["NoneType", "None"],
        "numbers": ["list"],
        "pair": ["NoneType", "None"],
        "labels": ["set", ["str", "a"], ["str", "b"]],
        "rates": {},
        "when": ["NoneType", "None"],
        "day": ["date", "2026-01-02"],
        "run": ["NoneType", "None"],
        "price": ["Decimal", "1.50"],
        "wait": ["timedelta", "0:00:03"],
        "anything": ["NoneType", "None"],
        "text": ["str", ""],
        "dark": ["bool", "False"],
        "own": ["Own", received(server)["own"][1]],
        "_internal": ["int", "7"],
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"threshold": "1"}, ["float", "1.0"]),
        ({"mode": "exact"}, ["str", "exact"]),
        ({"own_mode": "fast"}, ["Mode", "Mode.FAST"]),
        ({"level": "HIGH"}, ["Level", "Level.HIGH"]),
        (
            {"box": '{"x": 0, "mode": "exact", "tags": ["a"]}'},
            ["Box", "Box(x=0.0, mode=<Mode.EXACT: 'exact'>, tags=['a'])"],
        ),
        (
            {"boxes": '[{"x": 0.25}]'},
            ["list", ["Box", "Box(x=0.25, mode=<Mode.FAST: 'fast'>, tags=[])"]],
        ),
        (
            {"numbers": "[[1, 2.5]]"},
            ["list", ["list", ["float", "1.0"], ["float", "2.5"]]],
        ),
        ({"pair": '[7, "fast"]'}, ["tuple", ["int", "7"], ["Mode", "Mode.FAST"]]),
        ({"labels": ["z", "z"]}, ["set", ["str", "z"]]),
        ({"rates": '{"a": 1}'}, {"a": ["float", "1.0"]}),
        ({"when": "2026-01-02T03:04:05"}, ["datetime", "2026-01-02 03:04:05"]),
        ({"day": "2026-03-04"}, ["date", "2026-03-04"]),
        ({"run": RUN}, ["UUID", RUN]),
        ({"price": "2.5"}, ["Decimal", "2.5"]),
        ({"wait": "90"}, ["timedelta", "0:01:30"]),
        ({"anything": "x"}, ["str", "x"]),
        ({"dark": "yes"}, ["bool", "True"]),
    ],
    ids=str,
)
def test_values(server, given, expected):
    (name,) = given
    value = received(server, data=given)[name]
    assert value == expected


def test_files(server):
    files = [
        ("image", ("a.txt", b"text")),
        ("scans", ("1.png", b"one")),
        ("scans", ("2.png", b"two")),
        ("notes", ("n.nii.gz", b"notes")),
    ]
    answer = server.post(PREDICT, files=files)
    value = prediction(answer)
    assert value["scans"] == ["list", ["UploadedFile", "one"], ["UploadedFile", "two"]]
    assert value["notes"] == ["Path", "notes", ".gz"]


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ({"threshold": "2"}, {"threshold": ["Must be greater than or equal to 0 and "
          "less than or equal to 1."]}),
        ({"mode": "slow"}, {"mode": ["Must be one of: fast, exact."]}),
        ({"own_mode": "slow"}, {"own_mode": ["Must be one of: fast, exact."]}),
        ({"level": "2"}, {"level": ["Must be one of: LOW, HIGH."]}),
        ({"box": "{}"}, {"box": {"x": ["Missing data for required field."]}}),
        ({"box": "x"}, {"box": {"_schema": ["Invalid input type."]}}),
        ({"count": "x", "run": "y"}, {"count": ["Not a valid integer."],
          "run": ["Not a valid UUID."]}),
        ({"notes": "not a file"}, {"notes": ["Not a file."]}),
    ],
    ids=str,
)  # fmt: skip
def test_values_that_do_not_fit(server, given, messages):
    answer = server.post(PREDICT, data=given, files=FILE)
    assert (answer.status_code, answer.json()) == (422, messages)


def test_a_required_file(server):
    answer = server.post(PREDICT)
    assert answer.status_code == 422
    assert answer.json() == {"image": ["Missing data for required field."]}


def test_a_value_that_a_dataclass_refuses(server):
    answer = server.post(PREDICT, data={"box": '{"x": 1}'}, files=FILE)
    message = {"message": "Box: x may not be 1"}
    assert (answer.status_code, answer.json()) == (422, message)


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("Method", {"n": 2}, 4.0),
        ("Method", {"n": 2, "factor": 3}, 6.0),
        ("Class", {"n": 2}, ["Class", 2]),
        ("Static", {"n": 2}, 2),
        ("Callable", {"n": 2}, 2),
        ("Decorated", {"n": 2}, {"wrapped": [2, 2]}),
        ("Positional", {"c": 4}, [1, None, 4]),
        ("Positional", {"a": 4}, [4, None, 3]),
        ("Injected", {"n": 2}, 2),
        ("KeywordsOnly", {"n": 2}, {}),
        ("Partial", {"n": 2}, 6),
        ("Batched", {"point": {"x": 1.5, "y": 2}}, 3.5),
    ],
)
def test_kinds_of_functions(server, name, given, expected):
    answer = server.post(f"/v2/models/{name}/predict/", json=given)
    assert prediction(answer) == expected


@pytest.mark.parametrize("name", ["Method", "Decorated", "Injected", "Partial"])
def test_a_422_of_each_kind(server, name):
    for given in ({}, {"n": "x"}):
        answer = server.post(f"/v2/models/{name}/predict/", json=given)
        assert (answer.status_code, list(answer.json())) == (422, ["n"])


def test_one_call_of_a_batch_is_refused(server):
    path = "/v2/models/Batched/predict/"
    refused = server.post(path, json={"point": {"x": -1}})
    assert refused.status_code == 422
    assert refused.json() == {"message": "Point: x is negative"}
    assert prediction(server.post(path, json={"point": {"x": 1}})) == 1


def test_a_media_type_is_negotiated(server):
    path = "/v2/models/Accepts/predict/"
    answer = server.post(path, headers={"Accept": "text/*"})
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert prediction(server.post(path)) == {"a": 1}
    assert server.post(path, headers={"Accept": "image/png"}).status_code == 406
    assert server.post(path, params={"accept": "image/png"}).status_code == 422


def test_a_training(server):
    path = "/v2/models/annotated/train/"
    assert server.post(path).status_code == 422
    started = server.post(path, data={"epochs": 3}, files={"data": ("d.csv", b"1,2")})
    job = started.json()
    assert job["args"]["epochs"] == 3
    assert job["args"]["data"]["original_filename"] == "d.csv"
    with server.client.stream("GET", f"{path}{job['uuid']}/events") as events:
        events.read()
    job = server.get(f"{path}{job['uuid']}").json()
    assert job["result"]["output"] == {"epochs": 3, "data": "1,2"}


def test_a_job_shows_its_arguments_as_callers_write_them(server):
    given = {"box": '{"x": 0.25, "mode": "exact"}', "level": "LOW"}
    headers = {"Prefer": "respond-async"}
    answer = server.post(PREDICT, data=given, files=FILE, headers=headers)
    shown = answer.json()["args"]
    assert shown["box"] == {"x": 0.25, "mode": "exact"}
    assert (shown["level"], shown["own_mode"]) == ("LOW", "exact")
    with server.client.stream("GET", f"{PREDICT}{answer.json()['uuid']}/events") as e:
        e.read()
    result = server.get(f"{PREDICT}{answer.json()['uuid']}/result")
    assert prediction(result)["level"] == ["Level", "Level.LOW"]


def test_swagger(server):
    document = server.get("/swagger.json").json()
    operation = document["paths"][PREDICT]["post"]
    assert operation["description"].startswith(
        "Show what arrives.\n\nEach value with its type."
    )
    found = {one["name"]: one for one in operation["parameters"]}
    assert "own" in found
    assert "_internal" not in found
    image, threshold = found["image"], found["threshold"]
    assert (image["type"], image["in"], image["required"]) == ("file", "formData", True)
    assert image["description"] == "A file"
    assert (threshold["minimum"], threshold["maximum"]) == (0, 1)
    assert (threshold["type"], threshold["default"]) == ("number", 0.5)
    assert threshold["description"] == "Probability of a box"
    for name in ("mode", "own_mode"):
        assert found[name]["enum"] == ["fast", "exact"]
    assert found["own_mode"]["default"] == "exact"
    assert found["level"]["enum"] == ["LOW", "HIGH"]
    assert found["day"]["format"] == "date"
    assert found["count"]["type"] == "integer"
    train = document["paths"]["/v2/models/annotated/train/"]["post"]
    assert train["description"] == "Learn a little."
    keywords = document["paths"]["/v2/models/KeywordsOnly/predict/"]["post"]
    assert "Not the text" not in json.dumps(keywords)


def test_openapi(server):
    document = server.get("/openapi.json").json()
    operation = document["paths"][PREDICT]["post"]
    assert operation["description"].startswith("Show what arrives.")
    content = operation["requestBody"]["content"]
    found = content["multipart/form-data"]["schema"]["properties"]
    assert found["image"]["contentMediaType"] == "text/plain"
    assert found["scans"]["type"] == "array"
    assert found["scans"]["maxItems"] == 2
    assert found["threshold"]["maximum"] == 1
    assert found["own_mode"]["enum"] == ["fast", "exact"]
    assert found["box"]["default"] == {"x": 0.5, "mode": "fast", "tags": []}
    method = document["paths"]["/v2/models/Method/predict/"]["post"]
    assert method["description"].startswith("Multiply.")
