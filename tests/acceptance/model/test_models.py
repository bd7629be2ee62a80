"""Models of every trait that public ones have, over HTTP, in a package or a file."""

import subprocess
import sys

import pytest

from tests.conftest import Serve
from tests.server import MODELS, ROOT

PACKAGE = ROOT / "tests" / "packages" / "traits"
INSTALLED = (
    *("as_module", "as_class", "as_object", "parallel"),
    *("schema_class", "schema_instance", "schema_fields"),
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The environment in which the package of models is installed."""
    place = tmp_path_factory.mktemp("site")
    copy = place / "source"
    subprocess.run(["cp", "-r", PACKAGE, copy], check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    offline = ["--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    target = place / "packages"
    subprocess.run([*install, *offline, "--target", target, copy], check=True)
    return {"PYTHONPATH": str(target)}


@pytest.fixture(scope="module")
def server(serve_module: Serve, installed):
    echo = f"echo={MODELS / 'echo.py'}"
    names = [f"--model-name={name}" for name in (*INSTALLED, "echo")]
    return serve_module("--model", echo, *names, env=installed)


def predict(server, model, **options):
    answer = server.post(f"/v2/models/{model}/predict", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_every_installed_model_is_served_beside_those_named(server):
    names = [model["id"] for model in server.get("/v2/models/").json()["models"]]
    assert names == sorted([*INSTALLED, "echo"])


def test_only_the_named_ones_are_served(serve: Serve, installed):
    more = {**installed, "DEEPAAS_V2_MODEL": "as_class,as_object"}
    server = serve(env=more)
    models = server.get("/v2/models").json()["models"]
    assert [model["id"] for model in models] == ["as_class", "as_object"]
    answer = server.post("/v2/models/parallel/predict")
    assert answer.status_code == 404
    assert "as_class, as_object" in answer.json()["message"]


def test_a_module_that_injects_its_functions_and_warms_a_global(server):
    answer = predict(server, "as_module", params={"x": "0.7"})
    assert answer == {"status": "OK", "predictions": '{"above":true}'}


@pytest.mark.parametrize("kind", ["class", "object"])
def test_a_class_and_an_object_with_a_lock(server, kind):
    answer = predict(server, f"as_{kind}", params={"a": 5})
    assert answer == {"answer": 6, "kind": kind}
    described = server.get(f"/v2/models/as_{kind}/").json()
    expected = {
        "id": f"as_{kind}",
        "name": f"as_{kind}",
        "author": "A. Uthor",
        "description": f"A {kind}",
        "links": [
            {
                "rel": "self",
                "type": "application/json",
                "href": f"/v2/models/as_{kind}/",
            }
        ],
    }
    assert described.items() >= expected.items()


@pytest.mark.parametrize("kind", ["class", "instance", "fields"])
def test_arguments_from_a_schema(server, kind):
    path = f"schema_{kind}"
    answer = predict(server, path, params={"when": "24.12.2026", "limit": 2})
    label = {"label": "2026-12-24T00:00:00"}
    assert answer == {"status": "OK", "predictions": [label, label]}
    bad = server.post(f"/v2/models/{path}/predict", params={"limit": 9})
    assert bad.status_code == 422
    assert bad.json().keys() == {"when", "limit"}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_model_may_start_children(server, method):
    answer = predict(server, "parallel", params={"method": method})
    assert answer["predictions"] == "[0,1,4,9]"


def test_a_train_only_model_does_not_predict(serve: Serve):
    server = serve("--model", f"m={MODELS / 'train_only.py'}")
    answer = server.post("/v2/models/m/predict/")
    assert answer.status_code == 501
    assert "predict" in answer.json()["message"]
    assert "/v2/models/m/predict/" not in server.get("/swagger.json").json()["paths"]


@pytest.mark.smoke
def test_a_prediction(serve: Serve):
    server = serve("--model", f"echo={MODELS / 'echo.py'}")
    assert predict(server, "echo", params={"n": 3}) == {"n": 3}


def test_metadata_that_is_too_deep_for_the_list(serve: Serve, tmp_path):
    model = tmp_path / "deep.py"
    model.write_text(
        "import json\n"
        "def get_metadata():\n"
        "    return {'deep': json.loads('[' * 252 + ']' * 252)}\n"
        "def predict(): pass\n"
    )
    server = serve("--model", f"m={model}")
    assert server.get("/v2/models/").json()["models"][0]["id"] == "m"
    assert server.get("/v2/models/m/").status_code == 200


def test_a_worker_imports_no_more_than_its_model(serve: Serve):
    server = serve("--model", f"imports={MODELS / 'imports.py'}")

    def ask(name):
        path = "/v2/models/imports/predict/"
        return server.post(path, params={"name": name}).json()["predictions"]

    for name in ("asyncio", "setuptools", "aiohttp"):
        assert ask(name) == "False"
    assert ask("distutils") == "True"  # the real module, for a model that imports it


def test_children_that_are_told_to_end_at_once(serve: Serve):
    server = serve("--model", f"forks={MODELS / 'forks.py'}")
    assert server.post("/v2/models/forks/predict/").json()["predictions"] == "100"


def test_a_childs_own_child_has_its_files(serve: Serve):
    server = serve("--model", f"forks={MODELS / 'forks_twice.py'}")
    answer = server.post("/v2/models/forks/predict/").json()
    assert answer["predictions"] == "0"  # files that were closed
