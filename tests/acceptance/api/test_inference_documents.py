"""Answers of inference fit the protocol's schemas and our own document."""

import json

import jsonschema
import pytest

TENSOR = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "parameters": {"type": "object"},
    },
}
WITH_DATA = {**TENSOR, "required": [*TENSOR["required"], "data"]}

# The required keys and the types that open_inference_rest.yaml (version 2.0 of the
# protocol) has for each answer.
PROTOCOL = {
    "server": {
        "type": "object",
        "required": ["name", "version", "extensions"],
        "properties": {
            "name": {"type": "string"},
            "version": {"type": "string"},
            "extensions": {"type": "array", "items": {"type": "string"}},
        },
    },
    "model": {
        "type": "object",
        "required": ["name", "platform"],
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": TENSOR},
            "outputs": {"type": "array", "items": TENSOR},
        },
    },
    "inference": {
        "type": "object",
        "required": ["model_name", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "parameters": {"type": "object"},
            "outputs": {"type": "array", "items": WITH_DATA},
        },
    },
    "error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    },
}

INPUT = {"name": "integer", "shape": [1], "datatype": "INT64", "data": [7]}


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module("--model", "t=tests/models/tensors.py")


@pytest.fixture(scope="module")
def document(server):
    return server.get("/openapi.json").json()


def infer(server, value):
    return server.post("/v2/models/t/infer", content=json.dumps(value).encode())


def answers(server):
    return [
        ("server", server.get("/v2")),
        ("model", server.get("/v2/models/t")),
        ("model", server.get("/v2/models/t/versions/3")),
        ("inference", infer(server, {"inputs": [INPUT]})),
        ("inference", infer(server, {"inputs": [{**INPUT, "shape": [1, 1]}]})),
        ("error", infer(server, {"inputs": [{**INPUT, "shape": [2]}]})),
        ("error", server.get("/v2/models/nope")),
        ("error", server.get("/v2/models/t/versions/nope")),
        ("error", server.get("/v2/models/t/infer")),
    ]


def test_answers_fit_the_protocol(server):
    for kind, answer in answers(server):
        jsonschema.validate(answer.json(), PROTOCOL[kind])


@pytest.mark.parametrize(
    ("path", "method", "send"),
    [
        ("/v2/models/t/infer/", "post", lambda s: infer(s, {"inputs": [INPUT]})),
        (
            "/v2/models/t/versions/{version}/",
            "get",
            lambda s: s.get("/v2/models/t/versions/3"),
        ),
        (
            "/v2/models/t/versions/{version}/ready/",
            "get",
            lambda s: s.get("/v2/models/t/versions/3/ready"),
        ),
        ("/v2/repository/index/", "post", lambda s: s.post("/v2/repository/index")),
    ],
)
def test_answers_fit_the_document(server, document, path, method, send):
    operation = document["paths"][path][method]
    answer = send(server)

    assert answer.status_code == 200
    content = operation["responses"]["200"]["content"]
    jsonschema.validate(answer.json(), content["application/json"]["schema"])


def test_the_request_is_described(document):
    operation = document["paths"]["/v2/models/t/infer/"]["post"]
    content = operation["requestBody"]["content"]

    jsonschema.validate({"inputs": [INPUT]}, content["application/json"]["schema"])
    assert "application/octet-stream" in content
    assert document["paths"]["/v2/models/t/versions/{version}/infer/"]


def test_swagger_stays_as_it_was(server):
    paths = server.get("/swagger.json").json()["paths"]

    assert not [path for path in paths if "infer" in path or "versions/" in path]
