"""The routes of the API, and the 404 for others."""

from urllib.parse import quote, urljoin

import pytest

from tests.conftest import Serve
from tests.server import MODELS

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
    assert server.get("/v2/").json().items() >= VERSION.items()


def test_a_name_with_a_slash(server):
    described = server.get("/v2/models/a%2Fb%20c/").json()
    assert described["id"] == "a/b c"
    href = described["links"][0]["href"]
    assert server.get(href).json() == described
    assert server.post(f"{href}predict/", params={"n": 1}).json() == {"n": 1}


def test_slashes_in_a_row_are_one(server):
    """Clients join `http://host:port/` and `/v2/...`."""
    for path, same in (
        ("//v2/models/", "/v2/models/"),
        ("///v2//models///echo//", "/v2/models/echo/"),
        ("//v2/models//a%2Fb%20c", "/v2/models/a%2Fb%20c"),
        ("//", "/"),
        ("//v2/health//live", "/v2/health/live"),
        ("//swagger.json", "/swagger.json"),
        ("/api//static//api.js", "/api/static/api.js"),
        ("/v2//models/echo/train/?limit=1", "/v2/models/echo/train/?limit=1"),
    ):
        # The whole address: httpx would take `//v2` for a host.
        answer = server.get(f"{server.url}{path}")
        assert answer.status_code == 200, path
        assert answer.content == server.get(same).content
        assert server.head(f"{server.url}{path}").status_code == 200
    assert server.get(f"{server.url}//metrics").status_code == 200
    page = server.get(f"{server.url}//api//")
    assert page.headers["Content-Type"].startswith("text/html")
    for path in ("//v2/models/echo/predict/", "//v2//models/echo//predict//"):
        answer = server.post(f"{server.url}{path}", params={"n": 1})
        assert answer.json() == {"n": 1}
    # Counted and refused as with one slash
    metrics = server.get("/metrics").text
    assert 'requests_total{method="GET",route="/v2/health/live",' in metrics
    assert "//" not in "".join(n for n in metrics.split() if "route=" in n)
    answer = server.delete(f"{server.url}//v2//models/echo")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET,HEAD"
    answer = server.get(f"{server.url}//nothing")
    assert answer.status_code == 404
    assert answer.json() == {"message": "There is nothing at //nothing."}


@pytest.mark.parametrize("path", ["", "/", "//"])
def test_a_job_is_at_a_relative_reference(server, path):
    """So a proxy that cuts off a prefix need not send the prefix."""
    url = f"{server.url}/v2//models/a%2Fb%20c/predict{path}"
    headers = {"Prefer": "respond-async"}
    answer = server.post(url, params={"n": 1}, headers=headers)
    location = answer.headers["Location"]
    assert not location.startswith("/")
    assert "://" not in location
    job = server.get(urljoin(url, location))
    assert job.json()["uuid"] == answer.json()["uuid"]


@pytest.mark.parametrize(
    ("path", "location"),
    # Python's urljoin takes slashes in a row for one, which browsers do not.
    [("/ui", "ui/"), ("//ui", "ui/"), ("/ui//", "../"), ("//ui///", "../../")],
)
def test_the_page_has_one_address(server, path, location):
    """Its links are relative to `/ui/`."""
    answer = server.get(f"{server.url}{path}")
    assert answer.status_code == 308
    assert answer.headers["Location"] == location
    page = server.get(f"{server.url}/ui/")
    assert page.headers["Content-Type"].startswith("text/html")


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def test_only_a_browser_is_sent_to_the_page(server):
    for accept in ("", "*/*", "application/json", "text/html;q=0.1, */*", "html;;"):
        answer = server.get("/", headers={"Accept": accept})
        assert answer.json()["versions"], accept
        assert "Accept" in answer.headers["Vary"]
    for accept in (BROWSER, "text/html", "application/json;q=0.5, text/html"):
        answer = server.get("/", headers={"Accept": accept})
        assert answer.status_code == 302
        assert answer.headers["Location"] == "ui/"
        assert "Accept" in answer.headers["Vary"]


ODD_NAMES = ("a b", "é", "{x}", "%20", "train", "a%2Fb", "a?b#c;d", "日本", "{uuid}")


def test_odd_names(serve: Serve):
    """Each is served under its quoted name, wherever an address shows it."""
    named = [("--model", f"{name}={MODELS / 'echo.py'}") for name in ODD_NAMES]
    server = serve(*(word for option in named for word in option))
    listed = server.get("/v2/models/").json()["models"]
    assert {model["id"] for model in listed} == set(ODD_NAMES)
    paths = server.get("/swagger.json").json()["paths"]
    for model in listed:
        place = f"/v2/models/{quote(model['id'], safe='')}/"
        assert model["links"][0]["href"] == place
        assert server.get(place).json().items() >= model.items()
        assert f"{place}predict/" in paths
        assert server.post(f"{place}predict/", params={"n": 1}).json() == {"n": 1}
        begun = server.post(
            f"{place}predict/", params={"n": 2}, headers={"Prefer": "respond-async"}
        )
        job = urljoin(f"{server.url}{place}predict/", begun.headers["Location"])
        with server.client.stream("GET", f"{job}/events") as events:
            events.read()
        assert server.get(job).json()["model"] == model["id"]
        assert server.get(f"{job}/result").json() == {"n": 2}
        assert server.get(f"{place}train/").json() == []


@pytest.mark.parametrize("name", [".", "..", "a\nb", "a\x7fb"])
def test_a_name_that_cannot_be_served(fail_to_start, name):
    ended = fail_to_start("--model", f"{name}={MODELS / 'echo.py'}")
    assert ended.code == 1
    assert f"cannot be named {name!r}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_health_shows_the_workers(server):
    health = server.get("/v2/health/ready").json()
    assert health["status"] == "ready"
    pids = [w["pid"] for m in health["models"].values() for w in m["workers"]]
    assert len(set(pids)) == 2  # one for each model
    assert set(pids) <= set(server.workers())  # a describer may run too


def test_errors_are_json_with_a_request_id(server):
    for method, path, status in (
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/unknown", 404),
        ("DELETE", "/v2/models/echo", 405),
    ):
        answer = server.client.request(method, path, headers={"X-Request-ID": "my-1"})
        assert answer.status_code == status
        # clients of the Open Inference Protocol read `error` below /v2/
        assert answer.json().keys() - {"error"} == {"message"}
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
    assert server.get(f"{server.url}//x//y/v2//models").status_code == 200
    assert server.get("/x/y/ui").headers["Location"] == "ui/"
    for path, place in (("/x/y", "y/ui/"), ("/x/y/", "ui/")):
        found = server.get(path, headers={"Accept": "text/html"})
        assert found.headers["Location"] == place
    assert server.get("/x/y/api/static/api.js").status_code == 200
    assert server.get("/api/static/api.js").status_code == 404


def test_what_is_turned_off_is_not_there_and_says_why(serve: Serve):
    server = serve("--model", ECHO, "--nopredict-endpoint", "--nodoc-endpoint")
    answer = server.post("/v2/models/echo/predict", params={"n": 1})
    assert answer.status_code == 404
    assert "--nopredict-endpoint" in answer.json()["message"]
    html = {"Accept": "text/html"}
    for path in ("/api", "/api/", "/ui", "/ui/", "/ui/static/main.js"):
        answer = server.get(path, headers=html)
        assert answer.status_code == 404
        assert "--nodoc-endpoint" in answer.json()["message"]
    assert server.get("/api/static/api.js").status_code == 404
    [link] = server.get("/", headers=html).json()[
        "links"
    ]  # clients build on the document
    assert link["rel"] == "describedby"
    assert server.get(link["href"]).json()["swagger"] == "2.0"
    assert "/api" not in server.stdout


def test_the_document_does_not_show_what_is_turned_off(serve: Serve):
    server = serve("--model", ECHO, "--nopredict-endpoint")
    assert not [p for p in server.get("/swagger.json").json()["paths"] if "pre" in p]
