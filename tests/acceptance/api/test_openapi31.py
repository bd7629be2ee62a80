"""/openapi.json: it is valid for every model, and calls that follow it succeed."""

from __future__ import annotations

import json
from http import cookies
from urllib.parse import urljoin

import pytest

from tests.acceptance.api.documents import validate_openapi, validate_swagger
from tests.conftest import Serve
from tests.server import MODELS

NAMES = ("documented", "documented_json", "echo", "hinted", "returns", "chooses")
NAMES += ("accept_any", "places", "trains")

MULTIPART = "multipart/form-data"
JSON = "application/json"


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    return serve_module(*(f"--model={name}={MODELS / name}.py" for name in NAMES))


@pytest.fixture(scope="module")
def document(server):
    return server.get("/openapi.json").json()


def call(document, name, method="predict"):
    return document["paths"][f"/v2/models/{name}/{method}/"]["post"]


def properties(document, name, media_type=MULTIPART, method="predict"):
    content = call(document, name, method)["requestBody"]["content"]
    return content[media_type]["schema"]["properties"]


def test_it_is_valid_for_the_example(serve: Serve, tmp_path):
    pytest.importorskip("deepaas_digits")
    env = {"DIGITS_MODEL_DIR": str(tmp_path)}
    server = serve("--model-name=digits", "--nowarm", env=env)
    validate_swagger(server.get("/swagger.json").json())
    document = server.get("/openapi.json").json()
    validate_openapi(document)
    body = call(document, "digits")["requestBody"]["content"]
    assert list(body) == [MULTIPART]  # no JSON where a file is required
    data = body[MULTIPART]["schema"]["properties"]["data"]
    examples = [urljoin(f"{server.url}/", e["url"]) for e in data["x-deepaas-examples"]]
    pictures = [server.get(url) for url in examples]
    assert [p.headers["Content-Type"] for p in pictures] == [
        "image/png",
        "image/png",
        "image/jpeg",
    ]
    assert pictures[0].content.startswith(b"\x89PNG")
    epochs = properties(document, "digits", method="train")
    assert epochs["learning_rate"]["exclusiveMinimum"] == 0
    assert "minimum" not in epochs["learning_rate"]
    assert epochs["hidden_units"]["x-deepaas-unit"] == "neurons"
    assert epochs["hidden_units"]["x-deepaas-advanced"] is True


def test_the_limit_of_bodies_is_named(serve: Serve, document):
    assert document["info"]["x-deepaas-max-body-bytes"] == 1024**3
    for limit, named in (("5000", {"x-deepaas-max-body-bytes": 5000}), ("0", {})):
        server = serve(f"--model=echo={MODELS / 'echo.py'}", "--client-max-size", limit)
        found = server.get("/openapi.json").json()
        validate_openapi(found)
        words = found["info"].items()
        assert {k: v for k, v in words if k.startswith("x-")} == named


def test_it_is_valid_for_models_with_odd_names(serve: Serve, tmp_path):
    names = ("a/b c", "{x}", "é#~%", "x", "list-x", "job-x")
    (tmp_path / "odd.py").write_text(
        "from marshmallow import Schema, fields\n"
        "class Größe(Schema):\n    n = fields.Int()\n"
        "schema = Größe\n"
        "def predict(): pass\ndef train(): pass\n"
    )
    models = [f"--model={name}={MODELS / 'documented.py'}" for name in names]
    server = serve(*models, f"--model=ä={tmp_path / 'odd.py'}")
    document = server.get("/openapi.json").json()
    validate_openapi(document)
    found = {}
    for path, item in document["paths"].items():
        if path.endswith("/predict/") and "post" in item:
            answer = item["post"]["responses"]["200"]["content"][JSON]["schema"]
            found[item["post"]["operationId"]] = answer["$ref"]
    assert found.keys() == {f"predict-{name}" for name in (*names, "ä")}
    assert len(set(found.values())) == len(found)


# -- arguments


def test_an_argument_is_described_once(document):
    """Without a location it is in the body, whose description names the query."""
    operation = call(document, "documented")
    assert [p["name"] for p in operation["parameters"]] == [
        *("X-Header", "cookie", "Prefer", "Idempotency-Key"),
    ]
    body = operation["requestBody"]
    assert body["required"] is False
    assert body["description"] == (
        "All but `many`, `file` may be in the query too, which goes first."
    )
    names = list(properties(document, "documented"))
    assert names == [
        *("plain", "password", "range", "share", "since", "price", "nothing"),
        *("not a number", "list", "delimited", "nested", "dict", "own", "raw"),
        *("many", "file", "typed oddly"),
    ]
    in_json = list(properties(document, "documented", JSON))
    assert in_json == [name for name in names if name not in ("many", "file")]


def test_schemas_of_arguments(document):
    found = properties(document, "documented")
    assert found["plain"] == {
        "type": "string",
        "default": "a",
        "description": "Plain",
        "enum": ["a", "b"],
    }
    password = {"type": "string", "format": "password", "writeOnly": True}
    assert found["password"] == password
    assert found["range"] == {
        "type": "integer",
        "default": 3,
        "minimum": 1,
        "maximum": 9,
    }
    assert found["share"] == {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
    assert found["since"]["default"] == "2026-01-01"
    assert "minimum" not in found["since"]
    assert found["price"] == {"type": "number", "default": 1.5}
    assert found["nothing"] == {"type": ["integer", "null"], "default": None}
    assert found["not a number"] == {"type": "number"}
    assert found["dict"]["default"] == {"a": 1}
    binary = {"type": "string", "format": "binary"}
    assert found["file"] == {**binary, "description": "A file"}
    assert found["many"] == {"type": "array", "items": binary}
    assert found["typed oddly"] == {}
    nested = found["nested"]["$ref"].rpartition("/")[2]
    assert document["components"]["schemas"][nested] == {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
    }
    chosen = properties(document, "chooses")
    colours = ["RED", "GREEN", "GREY", "GRAY"]
    assert chosen["colour"]["enum"] == colours
    assert chosen["colours"]["items"]["enum"] == colours
    assert chosen["some"]["items"] == {"type": "string", "enum": ["a", "b"]}
    assert "enum" not in chosen["some"]
    assert chosen["mixed"]["enum"] == [1, "two", [1, 2]]


def test_only_json(document):
    operation = call(document, "documented_json")
    body = operation["requestBody"]
    assert list(body["content"]) == [JSON]
    assert body["required"] is True
    assert "description" not in body
    assert body["content"][JSON]["schema"]["required"] == ["n"]


def test_the_media_types_of_answers(document):
    def content(name, status="200"):
        return call(document, name)["responses"][status]["content"]

    lines = "application/x-ndjson"
    assert list(content("documented_json")) == ["image/png", JSON, lines]
    assert content("documented_json")[JSON] == {
        "schema": {"$ref": "#/components/schemas/Answer"}
    }
    assert content("documented_json")["image/png"]["schema"]["format"] == "binary"
    assert list(content("documented")) == [JSON, lines]
    stream = "text/event-stream"
    assert list(content("accept_any")) == [JSON, lines, stream, "*/*"]
    assert list(content("echo")) in ([JSON, lines], [JSON, lines, "*/*"])
    job = {"schema": {"$ref": "#/components/schemas/Job"}}
    assert content("echo", "202") == {JSON: job}
    responses = call(document, "echo")["responses"]
    assert "Location" in responses["202"]["headers"]
    assert list(responses) == ["200", "202", "422", "default"]


def test_accept_is_in_the_query(document):
    """OpenAPI ignores a parameter that is the header Accept."""
    [accept] = [
        parameter
        for parameter in call(document, "documented_json")["parameters"]
        if parameter["name"] == "accept"
    ]
    assert accept["in"] == "query"
    assert accept["schema"] == {"type": "string", "enum": ["image/png", JSON]}


def test_jobs(document):
    paths = document["paths"]
    one = "/v2/models/trains/train/{uuid}/"
    listed = paths["/v2/models/trains/train/"]["get"]
    found = {parameter["name"]: parameter for parameter in listed["parameters"]}
    assert {p["in"] for p in found.values()} == {"query"}
    assert found["status"]["schema"]["enum"][0] == "queued"
    assert found["limit"]["schema"] == {
        "type": "integer",
        "minimum": 0,
        "maximum": 2**31 - 1,
    }
    items = {"$ref": "#/components/schemas/Job"}
    answer = listed["responses"]["200"]["content"][JSON]["schema"]
    assert answer == {"type": "array", "items": items}
    log = paths[f"{one}log/"]["get"]
    assert [p["name"] for p in log["parameters"]] == ["uuid", "follow"]
    assert list(log["responses"]["200"]["content"]) == ["text/plain"]
    events = paths[f"{one}events/"]["get"]["responses"]["200"]
    assert list(events["content"]) == ["text/event-stream"]
    assert "content" not in paths[one]["delete"]["responses"]["204"]
    result = paths["/v2/models/echo/predict/{uuid}/result/"]["get"]
    assert {"200", "202", "default"} <= result["responses"].keys()


def test_hints(document):
    found = properties(document, "hinted")
    assert found["text"] == {
        "type": "string",
        "title": "Prompt",
        "examples": ["a", "b"],
        "x-deepaas-widget": "textarea",
        "x-deepaas-order": 2,
    }
    assert found["size"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 9,
        "x-deepaas-unit": "px",
        "x-deepaas-widget": "slider",
        "x-deepaas-order": 1.5,
    }
    assert found["since"]["examples"] == ["2026-01-02"]
    assert found["hidden"]["x-deepaas-advanced"] is False
    assert found["note"] == {
        "type": "string",
        "format": "binary",
        "contentMediaType": "text/plain",
        "x-deepaas-examples": [
            {"name": "one.txt", "url": "v2/models/hinted/examples/0"},
            {"name": "two.svg", "url": "v2/models/hinted/examples/1"},
        ],
    }
    media = [".nii.gz", "image/*"]
    assert found["scans"] == {
        "type": "array",
        "items": {"type": "string", "format": "binary", "x-deepaas-media": media},
        "x-deepaas-examples": [
            {"name": "one.txt", "url": "v2/models/hinted/examples/2"}
        ],
    }
    [seed] = [p for p in call(document, "hinted")["parameters"] if p["name"] == "seed"]
    assert seed["schema"] == {"type": "integer", "x-deepaas-advanced": True}
    train = properties(document, "hinted", method="train")
    assert train["data"]["x-deepaas-examples"][0]["url"].endswith("/examples/3")


def test_hints_are_not_in_swagger(server):
    text = server.get("/swagger.json").text
    operation = call(json.loads(text), "hinted")
    found = {parameter["name"]: parameter for parameter in operation["parameters"]}
    plain = {"in": "query", "required": False}
    assert found["text"] == {"name": "text", **plain, "type": "string"}
    assert found["note"].keys() == {"name", "in", "required", "type"}
    assert "x-deepaas" not in text


# -- calls that follow the document

VALUES = {
    "ints": [1, 2],
    "delimited": [1, 2],
    "spaced": [1, 2],
    "odd": [1, 2],
    "rows": [[1, 2], [3]],
    "point": {"x": 1},
    "points": [{"x": 1}, {"x": 2}],
    "dict": {"a": [1]},
    "number": 1.5,
}

SEPARATORS = {"form": ",", "spaceDelimited": " ", "simple": ","}

OWN_SEPARATORS = {"odd": ";", "spaced": " "}
"""Those of texts, of which OpenAPI cannot say how they are delimited."""


def write(kind, described, *, style="form", items_alone=False):
    """Write a value as a client does that reads the document; several for a list."""
    value = VALUES[kind]
    if "content" in described or described.get("contentType") == JSON:
        whole = not items_alone or not isinstance(value, list)
        return [json.dumps(one) for one in ([value] if whole else value)]
    if not isinstance(value, list):
        return [str(value)]
    texts = [str(one) for one in value]
    if described["schema"]["type"] == "string":
        return [OWN_SEPARATORS[kind].join(texts)]
    if described.get("explode", style == "form"):
        return texts
    return [SEPARATORS[described.get("style", style)].join(texts)]


@pytest.mark.parametrize("items_alone", [False, True])
def test_values_are_written_as_it_says(server, document, items_alone):
    """`items_alone`: readers differ on whether a JSON list is one part or several."""
    operation = call(document, "places")
    query, headers, morsels = [], {}, []
    for parameter in operation["parameters"]:
        name = parameter["name"]
        if name in ("Prefer", "Idempotency-Key"):
            continue
        kind = name.partition("-")[2]
        style = "simple" if parameter["in"] == "header" else "form"
        written = write(kind, parameter, style=style)
        if parameter["in"] == "query":
            query += [(name, text) for text in written]
        elif parameter["in"] == "header":
            [headers[name]] = written
        else:
            morsel = cookies.SimpleCookie({name: written[0]})
            morsels.append(morsel.output(header="", sep="").strip())
    headers["Cookie"] = "; ".join(morsels)
    body = operation["requestBody"]["content"][MULTIPART]
    parts = []
    for name, schema in body["schema"]["properties"].items():
        encoding = {**body["encoding"].get(name, {}), "schema": schema}
        media_type = encoding.get("contentType", "text/plain")
        kind = name.partition("-")[2]
        for text in write(kind, encoding, items_alone=items_alone):
            parts.append((name, (None, text, media_type)))
    answer = server.post(
        "/v2/models/places/predict/", params=query, headers=headers, files=parts
    )
    assert answer.status_code == 200, answer.text
    found = json.loads(answer.json()["predictions"])
    expected = {
        f"{place}-{kind}": repr(value)
        for place in ("query", "headers", "cookies", "form")
        for kind, value in VALUES.items()
    }
    assert found == expected


# -- the route


def test_two_documents_are_made_apart(serve: Serve):
    server = serve(f"--model=echo={MODELS / 'echo.py'}")
    head = server.head("/openapi.json/")
    assert head.status_code == 200
    answers = [server.get(path) for path in ("/openapi.json", "/openapi.json/")]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["Content-Type"].startswith(JSON)
    assert answers[0].json()["openapi"] == "3.1.0"
    assert server.get("/swagger.json").json()["swagger"] == "2.0"
    doubled = server.get(f"{server.url}//openapi.json")
    assert doubled.content == answers[0].content
    assert 'route="/openapi.json"' in server.get("/metrics").text


def test_what_is_turned_off_is_not_there(serve: Serve):
    model = f"--model=trains={MODELS / 'trains.py'}"
    without = serve(model, "--nopredict-endpoint", "--nodoc-endpoint")
    paths = without.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if "predict" in path]
    assert "/v2/models/trains/train/" in paths
    paths = serve(model, "--notrain-endpoint").get("/openapi.json").json()["paths"]
    assert not [path for path in paths if "/train/" in path]


def test_tokens(serve: Serve, tmp_path):
    (tmp_path / "tokens").write_text("secret\n")
    server = serve(
        f"--model=hinted={MODELS / 'hinted.py'}",
        *("--auth-token-file", tmp_path / "tokens"),
    )
    paths = ("/openapi.json", "//openapi.json/", "/v2/models/hinted/examples/0")
    for path in (*paths, "//v2//models/hinted/examples//0", "/v2/models/no/examples/0"):
        refused = server.get(f"{server.url}{path}")
        assert refused.status_code == 401, path
        # With Basic, a browser would ask for a password over the page's own dialog.
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    headers = {"Authorization": "Bearer secret"}
    for path in paths:
        answer = server.get(f"{server.url}{path}", headers=headers)
        assert answer.status_code == 200
    document = server.get("/openapi.json", headers=headers).json()
    validate_openapi(document)
    schemes = {"bearer": {"type": "http", "scheme": "bearer"}}
    assert document["components"]["securitySchemes"] == schemes
    assert document["security"] == [{"bearer": []}]
    assert document["paths"]["/v2/health/live"]["get"]["security"] == []


def test_other_origins(serve: Serve):
    origin = "https://page.example"
    models = [f"--model={name}={MODELS / name}.py" for name in ("hinted", "returns")]
    server = serve(*models, f"--cors-origin={origin}")
    example = "/v2/models/hinted/examples/0"
    for path in ("/openapi.json", example):
        answer = server.get(path, headers={"Origin": origin})
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        stranger = server.get(path, headers={"Origin": "https://else.example"})
        assert "Access-Control-Allow-Origin" not in stranger.headers
        asked = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        preflight = server.client.request("OPTIONS", path, headers=asked)
        assert preflight.status_code == 200
    # So it is with any answer that is sent as a file.
    for what in ("large", "large path"):
        answer = server.post(
            "/v2/models/returns/predict/",
            params={"what": what, "accept": "application/octet-stream"},
            headers={"Origin": origin},
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["Access-Control-Allow-Origin"] == origin


def test_behind_a_proxy(serve: Serve):
    model = f"--model=echo={MODELS / 'echo.py'}"
    server = serve(model, "--base-path=/b", "--trusted-proxy=127.0.0.1")
    headers = {"X-Forwarded-Prefix": "/a"}
    document = server.get("/b/openapi.json", headers=headers).json()
    assert document["servers"] == [{"url": "/a"}]
    assert "/b/v2/models/echo/predict/" in document["paths"]
    validate_openapi(document)
    assert "servers" not in server.get("/b/openapi.json").json()
