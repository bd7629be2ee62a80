"""Tokens: allowed and refused callers."""

from __future__ import annotations

import os
import signal
import threading

import httpx

from tests.acceptance.api.conftest import ECHO, PREDICT, bearer
from tests.conftest import Serve
from tests.server import wait_until


def test_without_a_token(serve: Serve, tokens):
    server = serve(ECHO, "--auth-token-file", tokens, "--debug", "--debug-endpoint")
    routes = [
        *("/", "/v2", "/v2/", "/v2/models/", "/v2/models/echo", "/v2/models/nobody/"),
        *("/v2/models/echo/train/", "/v2/models/echo/predict/abc/result", "/v2/debug/"),
        *("/metrics", "/swagger.json", "/api", "/ui/x", "/api/static", "/api/static/"),
        *("/no/such/place", "/v2/health", "/v2/health/ready/x"),
        # Slashes in a row: the route counts, not the path
        *("//", "//v2//models/", "//metrics", "//v2/debug", "//api", "//swagger.json"),
        *("//v2/models/echo//train/", "/v2/health/live//x", "//no/such/place"),
        *("/api/static/../../v2/models/", "/api/static//../../metrics"),
        *("/api/static/..%2F..%2Fv2/models", "//v2/health/live/../../models/"),
    ]
    wrong = [
        {},
        bearer("wrong"),
        {"Authorization": "Bearer"},
        {"Authorization": "first-secret"},
    ]
    odd = ("Bearer", "first-secret", "Basic Zmlyc3Q=")
    wrong += [{"Authorization": value} for value in odd]
    for path in routes:
        for headers in wrong:
            answer = server.get(f"{server.url}{path}", headers=headers)
            assert answer.status_code == 401, path
            assert "realm=" in answer.headers["WWW-Authenticate"]
            assert "token" in answer.json()["message"]
    posts = ("/v2/models/nobody/predict", "/v2/models/echo/train")
    for path in (PREDICT, *posts, f"/{PREDICT}", "//v2//models/echo//train//"):
        path = f"{server.url}{path}"
        answer = server.post(path, params={"n": 1})
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert server.client.request("OPTIONS", path).status_code == 401
    for path in (
        *("/v2/health/live", "/v2/health/ready/", "/v2/models/echo/ready"),
        *("//v2/health/live", "//v2//models/echo//ready"),
        *("/api/static/swagger-ui.css", "//api/static//api.js"),
        *("/ui/", "/ui/static/main.js", "/ui/vendor/uPlot.min.css"),
    ):
        assert server.get(f"{server.url}{path}").status_code == 200, path
    html = {"Accept": "text/html"}
    assert server.get("/", headers=html).headers["Location"] == "ui/"
    for path in ("/v2/", "/v2/models/", "/no/such/place", "/swagger.json"):
        assert server.get(path, headers=html).status_code == 401
    for token in ("first-secret", "zweites-Geheimnis-ü"):
        headers = {"Authorization": f"Bearer {token}".encode()}
        for path in (PREDICT, f"/{PREDICT}/"):
            url = f"{server.url}{path}"
            answer = server.post(url, params={"n": 1}, headers=headers)
            assert answer.json() == {"n": 1}
        assert server.get("/metrics", headers=headers).status_code == 200
        assert token not in server.get("/v2/debug/", headers=headers).text
    assert "secret" not in server.output
    assert "Geheimnis" not in server.output


def test_open_metrics(serve: Serve, tokens):
    server = serve(ECHO, "--auth-token-file", tokens, "--open-metrics")
    assert server.get("/metrics").status_code == 200
    assert server.get("/v2/debug/").status_code == 204
    assert server.get("/v2/models/").status_code == 401


def test_a_browser_with_a_token(serve: Serve, tokens, page):
    """It asks for a password to open the page; calls need the token itself."""
    server = serve(ECHO, "--auth-token-file", tokens)
    basic = {"Authorization": httpx.BasicAuth("me", "first-secret")._auth_header}
    assert server.get("/api", headers=basic).status_code == 200
    assert server.get("/v2/models/", headers=basic).status_code == 401
    credentials = {"username": "me", "password": "first-secret"}
    page = page.context.browser.new_page(http_credentials=credentials)
    page.goto(f"{server.url}/api")
    page.locator("button.authorize").first.click()
    page.locator(".auth-container input").fill("Bearer first-secret")
    page.locator(".auth-btn-wrapper button.authorize").click()
    page.locator(".auth-btn-wrapper button.btn-done").click()
    operation = page.locator("#operations-models-predict-echo")
    operation.locator("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input").first.fill("7")
    with page.expect_response("**/predict/**") as answer:
        operation.get_by_role("button", name="Execute").click()
    assert answer.value.json() == {"n": 7}


def test_new_tokens_without_losing_a_call(serve: Serve, tokens):
    server = serve(ECHO, "--auth-token-file", tokens)
    statuses = []
    ended = threading.Event()

    def call() -> None:
        while not ended.is_set():
            headers = bearer("second" if len(statuses) % 2 else "first-secret")
            statuses.append(server.post(PREDICT + "?n=1", headers=headers).status_code)

    caller = threading.Thread(target=call)
    caller.start()
    tokens.write_text("first-secret\nsecond\n")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_output("2 tokens were read")
    seen = len(statuses)
    wait_until(lambda: len(statuses) > seen + 20)
    ended.set()
    caller.join()
    assert set(statuses[:seen]) <= {200, 401}
    assert set(statuses[seen + 2 :]) == {200}


def test_a_token_file_that_goes_wrong(serve: Serve, fail_to_start, tokens, tmp_path):
    for path, words in ((tmp_path / "none", "No such"), (tmp_path, "directory")):
        ended = fail_to_start(ECHO, "--auth-token-file", path)
        assert ended.code == 1
        assert len(ended.stderr.splitlines()) == 1
        assert words in ended.stderr
    server = serve(ECHO, "--auth-token-file", tokens, errors_expected=True)
    tokens.write_text("\n")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_output("The tokens stay as they are: .* holds no token")
    assert server.get("/v2/", headers=bearer("first-secret")).status_code == 200


def test_sighup_without_tokens_and_the_warning(serve: Serve):
    server = serve(ECHO)
    os.kill(server.pid, signal.SIGHUP)
    assert server.get("/v2/").status_code == 200
    assert "Anyone" not in server.output
