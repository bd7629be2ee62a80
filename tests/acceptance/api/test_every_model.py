"""The documents of every model of the tests, and the fields that the page makes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.api.documents import validate_openapi, validate_swagger
from tests.conftest import Serve
from tests.server import MODELS, ROOT, Server

REFUSED = {
    "bad_accept",
    "bad_args",
    "bad_schema",
    "broken_import",
    "exit_on_import",
    "misspelt",
}
"""Models that prevent the start of a server."""

NEEDS_PATH = ("GATES", "WARM_MARK")
"""Environment variables that models read."""

ALL = sorted({path.stem for path in MODELS.glob("*.py")} - REFUSED)

GROUP = 12
"""Number of models per server, so that it starts in time on a small machine."""

GROUPS = [ALL[at : at + GROUP] for at in range(0, len(ALL), GROUP)]

BASE = "/x/y"


@pytest.fixture(scope="module", params=GROUPS, ids=lambda names: f"from-{names[0]}")
def names(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param
    return found


def serve_group(serve: Serve, names: list[str], folder: Path, *options: str) -> Server:
    """Start a server with these models, which are not warmed."""
    models = [f"--model={name}={MODELS / name}.py" for name in names]
    env = dict.fromkeys(NEEDS_PATH, str(folder / "path"))
    return serve("--nowarm", *models, *options, env=env, errors_expected=True)


@pytest.fixture(scope="module")
def documents(
    names: list[str], serve_module: Serve, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return /swagger.json and /openapi.json."""
    server = serve_group(serve_module, names, tmp_path_factory.mktemp("group"))
    swagger, openapi = (server.get(f"/{n}.json").json() for n in ("swagger", "openapi"))
    server.stop()
    return swagger, openapi


def check(swagger: dict[str, Any], openapi: dict[str, Any]) -> None:
    validate_swagger(swagger)
    validate_openapi(openapi)
    shared = list(swagger["paths"])
    assert list(openapi["paths"])[: len(shared)] == shared
    added = list(openapi["paths"])[len(shared) :]
    assert all(
        "/infer/" in p or "/versions/" in p or "/repository/" in p for p in added
    )
    assert "servers" not in openapi


def test_documents_are_valid(
    names: list[str], documents: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    check(*documents)
    paths = documents[0]["paths"].keys()
    assert {f"/v2/models/{name}/" for name in names} <= paths


def test_documents_are_valid_with_options(
    names: list[str], serve: Serve, tmp_path: Path
) -> None:
    options = ("--raw-predictions", f"--base-path={BASE}")
    server = serve_group(serve, names, tmp_path, *options)
    swagger = server.get(f"{BASE}/swagger.json").json()
    check(swagger, server.get(f"{BASE}/openapi.json").json())
    paths = swagger["paths"].keys()
    assert {f"{BASE}/v2/models/{name}/" for name in names} <= paths


def test_every_argument_has_a_field(
    names: list[str], documents: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is missing")
    swagger, openapi = documents
    cover = [node, ROOT / "tests" / "unit" / "web" / "cover.js"]
    found = json.loads(
        subprocess.check_output(cover, input=json.dumps(openapi).encode(), timeout=30)
    )
    for model in names:
        for at, method in enumerate(("predict", "train")):
            item = swagger["paths"].get(f"/v2/models/{model}/{method}/", {})
            expected = {
                name
                for parameter in item.get("post", {}).get("parameters", [])
                for name in (
                    parameter["schema"]["properties"]
                    if parameter["in"] == "body"
                    else [parameter["name"]]
                )
            }
            shown = set(found.get(model, [None, None])[at] or ())
            assert shown >= expected, (model, method)
