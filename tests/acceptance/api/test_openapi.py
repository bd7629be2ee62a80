"""/swagger.json, checked by two independent validators."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.api.documents import validate_swagger
from tests.conftest import Serve
from tests.server import MODELS

NAMES = ("documented", "documented_json", "echo", "files", "every_field", "returns")


@pytest.fixture(scope="module")
def document(serve_module: Serve):
    options = [("--model", f"{name}={MODELS / name}.py") for name in NAMES]
    server = serve_module(*(word for option in options for word in option))
    return server.get("/swagger.json").json()


@pytest.fixture
def parameters(document):
    operation = document["paths"]["/v2/models/documented/predict/"]["post"]
    return {parameter["name"]: parameter for parameter in operation["parameters"]}


def test_it_is_valid_for_models_with_odd_names(serve: Serve):
    """Definitions have the names of models too, and references are addresses."""
    names = ("a/b c", "{x}", "é#~%")
    model = MODELS / "documented.py"
    server = serve(*(f"--model={name}={model}" for name in names))
    document = server.get("/swagger.json").json()
    validate_swagger(document)
    paths = [path for path in document["paths"] if path.endswith("/predict/")]
    answers = [document["paths"][path]["post"]["responses"]["200"] for path in paths]
    assert len(answers) == len(names)
    for answer in answers:
        definition = answer["schema"]["$ref"].removeprefix("#/definitions/")
        found = document["definitions"][definition]["properties"]
        assert found.keys() == {"status", "meta", "boxes", "scores"}


def test_it_is_valid_swagger(document):
    validate_swagger(document)


def test_choices(serve: Serve):
    server = serve(f"--model=chooses={MODELS / 'chooses.py'}")
    document = server.get("/swagger.json").json()
    operation = document["paths"]["/v2/models/chooses/predict/"]["post"]
    found = {parameter["name"]: parameter for parameter in operation["parameters"]}
    colours = ["RED", "GREEN", "GREY", "GRAY"]
    assert found["colour"] == {
        "name": "colour",
        "in": "query",
        "required": False,
        "type": "string",
        "enum": colours,
        "default": "RED",
        "description": "A colour",
    }
    assert found["by_value"]["enum"] == ["red", "green", "grey"]
    assert (found["size"]["type"], found["size"]["enum"]) == ("integer", [1, 2])
    assert found["mixed"]["type"] == "string"
    assert "enum" not in found["mixed"]  # not all of them are strings
    assert found["colours"]["items"] == {"type": "string", "enum": colours}
    assert found["some"]["items"] == {"type": "string", "enum": ["a", "b"]}
    assert "enum" not in found["some"]
    assert found["twice"]["enum"] == ["a"]
    assert "enum" not in found["of none"]
    assert found["no list"]["items"] == {"type": "string"}
    assert found["own words"]["enum"] == ["RED"]
    reference = operation["responses"]["200"]["schema"]["$ref"].rpartition("/")[2]
    answer = document["definitions"][reference]["properties"]
    assert answer["colour"] == {"type": "string", "enum": colours}
    assert answer["twice"]["enum"] == ["a"]
    assert answer["sizes"]["items"] == {"type": "integer", "enum": [1, 2]}


def test_the_list_of_trainings(serve: Serve):
    server = serve(f"--model=trains={MODELS / 'trains.py'}")
    operation = server.get("/swagger.json").json()["paths"]
    operation = operation["/v2/models/trains/train/"]["get"]
    found = {parameter["name"]: parameter for parameter in operation["parameters"]}
    assert found["status"]["type"] == "string"
    assert found["status"]["enum"] == [
        "queued",
        "running",
        "done",
        "error",
        "cancelled",
    ]
    assert found["limit"]["type"] == "integer"


def test_every_argument_is_there(parameters):
    assert parameters.keys() == {
        *("plain", "password", "range", "share", "since", "price", "nothing", "own"),
        *("not a number", "list", "delimited", "nested", "dict", "raw", "many", "file"),
        *("X-Header", "typed oddly"),  # Swagger 2.0 has no cookies
    }
    assert parameters["plain"] == {
        "name": "plain",
        "in": "query",
        "required": False,
        "type": "string",
        "default": "a",
        "enum": ["a", "b"],
        "description": "Plain",
    }
    assert parameters["password"]["format"] == "password"
    assert parameters["range"]["minimum"] == 1
    assert parameters["range"]["maximum"] == 9
    assert parameters["share"]["exclusiveMaximum"] is True
    assert parameters["since"]["default"] == "2026-01-01"
    assert parameters["price"]["default"] == 1.5
    assert parameters["list"]["collectionFormat"] == "multi"
    assert parameters["delimited"]["collectionFormat"] == "csv"
    assert parameters["X-Header"]["in"] == "header"
    assert parameters["dict"]["default"] == '{"a": 1}'
    assert parameters["file"] == {
        "name": "file",
        "in": "formData",
        "required": False,
        "type": "file",
        "description": "A file",
    }
    assert parameters["many"]["items"] == {"type": "string", "format": "binary"}


def test_arguments_in_json_are_one_body(document):
    operation = document["paths"]["/v2/models/documented_json/predict/"]["post"]
    body = next(p for p in operation["parameters"] if p["in"] == "body")
    assert body["schema"]["properties"].keys() == {"n", "options"}
    assert body["schema"]["required"] == ["n"]
    assert operation["consumes"] == ["application/json"]
    assert operation["produces"] == ["image/png", "application/json", "*/*"]


def test_the_definitions_of_models_go_before_our_own(document):
    definitions = document["definitions"]
    answer = definitions["ModelPredictionResponse"]["properties"]
    assert answer.keys() == {"status", "meta", "boxes", "scores"}
    assert definitions["ModelMeta"]["properties"].keys() == {"inner"}
    assert definitions["Answer"]["properties"].keys() == {"label"}
    assert definitions["ModelPredictionResponse-echo"]["properties"].keys() == {"n"}
    listed = document["paths"]["/v2/models/echo/"]["get"]["responses"]["200"]
    ours = definitions[listed["schema"]["$ref"].rpartition("/")[2]]["properties"]
    assert ours.keys() >= {"id", "name", "license"}


def test_an_operation_says_what_it_produces(document):
    paths = document["paths"]
    assert paths["/v2/models/echo/predict/"]["post"]["produces"] == ["application/json"]
    assert paths["/v2/models/returns/predict/"]["post"]["produces"] == ["*/*"]
    with_slash = [path for path in paths if "models" in path]
    assert all(path.endswith("/") for path in with_slash)


def test_it_is_made_when_it_is_asked_for(serve: Serve):
    options = ("--model", f"echo={MODELS / 'echo.py'}")
    server = serve(*options, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert server.get("/api").status_code == 200
    assert server.get("/api/static/swagger-ui.css").status_code == 200
    server.wait_for_output(r"deepaas\.documents")
    assert "apispec" not in server.stderr
    assert "aiohttp_cors" not in server.stderr
    with ThreadPoolExecutor(8) as threads:
        ask = [server.head, *[server.get] * 7]
        answers = list(threads.map(lambda get: get("/swagger.json"), ask))
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers[1:]} == {answers[-1].text}
    assert answers[-1].json()["swagger"] == "2.0"
    server.wait_for_output("apispec")


def test_an_unknown_schema(fail_to_start, tmp_path):
    model = tmp_path / "nests.py"
    model.write_text(
        "from marshmallow import fields\n"
        "schema = {'a': fields.List(fields.Nested('NoSuchSchema'))}\n"
        "def predict(): pass\n"
    )
    ended = fail_to_start("--model", f"nests={model}")
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert "'nests'" in ended.stderr
    assert "NoSuchSchema" in ended.stderr


def test_metadata_without_a_json_form(serve: Serve, tmp_path):
    model = tmp_path / "odd.py"
    model.write_text(
        "from marshmallow import fields\n"
        "odd = {'metadata': {'enum': [object()]}}\n"
        "schema = {'a': fields.Str(**odd), 'b': fields.Str()}\n"
        "def get_predict_args():\n    return {'c': fields.Str(**odd)}\n"
        "def predict(c):\n    return {'a': c, 'b': c}\n"
    )
    server = serve("--model", f"odd={model}")
    document = server.get("/swagger.json").json()
    answer = document["definitions"]["ModelPredictionResponse"]["properties"]
    assert answer == {"a": {}, "b": {"type": "string"}}
    [c] = document["paths"]["/v2/models/odd/predict/"]["post"]["parameters"]
    assert c["type"] == "string"
