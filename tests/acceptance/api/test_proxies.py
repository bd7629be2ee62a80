"""Proxies: the headers that the server trusts."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

import httpx
import pytest

from tests.acceptance.api.conftest import ECHO, PREDICT, UPLOAD
from tests.conftest import Serve
from tests.proxy import Nginx


def test_who_is_believed(serve: Serve):
    for trusted, client, prefix in (
        ("127.0.0.0/8", "192.0.2.1", "/x"),
        ("::1", None, ""),
    ):
        server = serve(ECHO, "--trusted-proxy", trusted)
        headers = {
            "X-Forwarded-For": "198.51.100.7, 192.0.2.1, 127.0.0.2",
            "X-Forwarded-Prefix": "/x/",
        }
        [link] = server.get("/v2/", headers=headers).json()["links"]
        assert link["href"] == f"{prefix}/v2/"
        server.wait_for_output(f'{client or "127.0.0.1"} \\w+ "GET /v2/" 200')
        document = server.get("/swagger.json", headers=headers).json()
        assert document.get("basePath", "") == prefix
        odd = server.get("/v2/", headers={**headers, "X-Forwarded-Prefix": '/"<'})
        assert odd.json()["links"][0]["href"] == "/v2/"


def test_no_address(fail_to_start):
    ended = fail_to_start(ECHO, "--trusted-proxy", "proxy.example")
    assert ended.code == 1
    assert "--trusted-proxy" in ended.stderr


LOCATIONS = """
location /models/here/ {{
  proxy_pass {url};
}}
location /cut/ {{
  proxy_set_header X-Forwarded-Prefix /cut;
  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_pass {cut}/;
}}
location /silent/ {{
  proxy_pass {cut}/;
}}
location /silent/both/ {{
  proxy_pass {url}/models/here/;
}}
"""


@pytest.fixture
def behind_nginx(nginx, serve: Serve, tmp_path) -> Iterator[str]:
    models = (ECHO, UPLOAD, "--trusted-proxy", "127.0.0.1")
    server = serve(*models, "--base-path", "/models/here")
    cut = serve(*models)
    proxy = Nginx(nginx, tmp_path, LOCATIONS.format(url=server.url, cut=cut.url))
    yield proxy.url
    proxy.stop()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("base", ["/models/here", "/cut"])
def test_links_behind_nginx(behind_nginx, client, base):
    url, get = behind_nginx, client.get
    for link in get(f"{url}{base}/").json()["links"]:
        assert get(f"{url}{link['href']}").status_code == 200
    [link] = get(f"{url}{base}/v2/models/echo/").json()["links"]
    assert get(f"{url}{link['href']}").json()["id"] == "echo"


@pytest.mark.parametrize("base", ["/models/here", "/cut", "/silent", "/silent/both"])
def test_behind_nginx(behind_nginx, client, page, base):
    """The links also work if the proxy does not send the prefix that it cuts off."""
    url, get = behind_nginx, client.get
    for path in ("/ui", "/"):
        called = f"{url}{base}{path}"
        answer = get(called, headers={"Accept": "text/html"})
        assert urljoin(called, answer.headers["Location"]) == f"{url}{base}/ui/"
    for path in (PREDICT, PREDICT.rstrip("/"), f"/{PREDICT}"):
        called = f"{url}{base}{path}?n=1"
        prefer = {"Prefer": "respond-async"}
        job = client.post(called, headers=prefer)
        place = urljoin(called, job.headers["Location"])
        get(f"{place}/events")  # until the job has ended
        assert get(place).json()["uuid"] == job.json()["uuid"]
        assert get(f"{place}/result").json() == {"n": 1}
    page.goto(f"{url}{base}/api/")
    page.locator("#operations-models-predict-echo").wait_for()
    page.goto(f"{url}{base}/api")
    operation = page.locator("#operations-models-predict-echo")
    operation.locator("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input").first.fill("7")
    with page.expect_response("**/predict/**") as answer:
        operation.get_by_role("button", name="Execute").click()
    assert answer.value.json() == {"n": 7}
    page.goto(f"{url}{base}/ui")
    page.get_by_role("link", name="echo", exact=True).click()
    page.locator('.field[data-name="n"] input').first.fill("8")
    with page.expect_response("**/predict/**") as answer:
        page.get_by_role("button", name="Predict", exact=True).click()
    page.locator(".output .facts").wait_for()
    assert answer.value.request.method == "POST"
    assert answer.value.url.startswith(f"{url}{base}/v2/models/echo/predict/")


def test_a_large_upload_through_nginx(behind_nginx):
    url = behind_nginx
    answer = httpx.post(
        f"{url}/models/here/v2/models/upload/predict/",
        files={"data": ("x", b"\0" * (200 << 20))},
        timeout=50,
        trust_env=False,
    )
    assert answer.json()["predictions"] == (
        "72abf2ca8f36943ebe2e49ca3a51d409ca5f0bfcffab6c9d25643c17c32889da"
    )
