"""The routes that every caller knows, and what is not there."""

from pathlib import Path

import pytest

from tests.conftest import Serve

MODELS = Path(__file__).parent / "models"
ECHO = f"echo={MODELS / 'echo.py'}"


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    return serve_module("--model", ECHO, "--model", f"a/b c={MODELS / 'echo.py'}")


VERSION = {
    "version": "stable",
    "id": "v2",
    "links": [{"rel": "self", "type": "application/json", "href": "/v2/"}],
}


@pytest.mark.parametrize(
    "path", ["/v2", "/v2/models", "/v2/models/echo", "/v2/health/live"]
)
def test_with_and_without_the_slash_and_for_head(server, path):
    answer = server.get(path)
    assert answer.status_code == 200
    assert server.get(f"{path}/").json() == answer.json()
    head = server.head(path)
    assert head.status_code == 200
    assert head.headers["Content-Length"] == answer.headers["Content-Length"]
    assert head.content == b""


def test_versions(server):
    answer = server.get("/").json()
    assert answer["versions"] == [VERSION]
    assert {link["rel"]: link["href"] for link in answer["links"]} == {
        "help": "/api",
        "describedby": "/swagger.json",
    }
    assert server.get("/v2/").json() == VERSION


def test_a_name_with_a_slash(server):
    described = server.get("/v2/models/a%2Fb%20c/").json()
    assert described["id"] == "a/b c"
    href = described["links"][0]["href"]
    assert server.get(href).json() == described
    assert server.post(f"{href}predict/", params={"n": 1}).json() == {"n": 1}


def test_health_shows_the_workers(server):
    health = server.get("/v2/health/ready").json()
    assert health["status"] == "ready"
    pids = [w["pid"] for m in health["models"].values() for w in m["workers"]]
    assert sorted(pids) == sorted(server.workers())


def test_errors_are_json_with_a_request_id(server):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/unknown", 404),
        ("DELETE", "/v2/models/echo", 405),
    ):
        answer = server.client.request(method, path, headers={"X-Request-ID": "my-1"})
        assert answer.status_code == status
        assert answer.json().keys() == {"message"}
        assert answer.headers["X-Request-ID"] == "my-1"


def test_an_insane_request_id_is_replaced(server):
    for given in ("x" * 200, "a b", "caf\u00e9".encode()):
        made = server.get("/v2/", headers={"X-Request-ID": given})
        assert made.headers["X-Request-ID"].isalnum()


def test_everything_under_a_base_path(serve: Serve):
    server = serve("--model", ECHO, "--base-path", "/x/y/")
    assert server.get("/v2/").status_code == 404
    assert server.get("/x/y").json() == server.get("/x/y/").json()
    link = server.get("/x/y/v2/models/echo").json()["links"][0]["href"]
    assert link == "/x/y/v2/models/echo/"
    assert server.post(f"{link}predict", params={"n": 1}).json() == {"n": 1}
    assert f"{link}predict/" in server.get("/x/y/swagger.json").json()["paths"]
    assert server.get("/x/y/ui").headers["Location"] == "/x/y/api"
    assert "/x/y/swagger.json" in server.get("/x/y/api").text


def test_what_is_turned_off_is_not_there_and_says_why(serve: Serve):
    server = serve("--model", ECHO, "--nopredict-endpoint", "--nodoc-endpoint")
    answer = server.post("/v2/models/echo/predict", params={"n": 1})
    assert answer.status_code == 404
    assert "--nopredict-endpoint" in answer.json()["message"]
    for path in ("/swagger.json", "/api", "/ui/"):
        answer = server.get(path)
        assert answer.status_code == 404
        assert "--nodoc-endpoint" in answer.json()["message"]
    assert server.get("/").json()["links"] == []


def test_the_document_does_not_show_what_is_turned_off(serve: Serve):
    server = serve("--model", ECHO, "--nopredict-endpoint")
    assert not [p for p in server.get("/swagger.json").json()["paths"] if "pre" in p]
