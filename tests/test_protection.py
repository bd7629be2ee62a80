"""Who may call: tokens, TLS, pages of other origins, proxies; and who may not."""

from __future__ import annotations

import asyncio
import http.server
import ipaddress
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deepaas.api.protection import heed_proxies
from deepaas.api.responses import CLIENT
from tests.conftest import Serve
from tests.server import Server, prediction, wait_until

MODELS = Path(__file__).parent / "models"
ECHO = f"--model=echo={MODELS / 'echo.py'}"
UPLOAD = f"--model=upload={MODELS / 'upload.py'}"
PREDICT = "/v2/models/echo/predict/"
SHA256_OF_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# -- tokens


@pytest.fixture
def tokens(tmp_path) -> Path:
    path = tmp_path / "tokens"
    lines = "first-secret\n\n  zweites-Geheimnis-ü  \n"
    path.write_text(lines, encoding="utf-8-sig")  # as some editors write it
    return path


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


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_https(serve: Serve, authority, tmp_path):
    issued = authority.issue_cert("127.0.0.1")
    cert, key, root = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(root)
    server = serve(ECHO, "--tls-cert", cert, "--tls-key", key)
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=root)
    with httpx.Client(base_url=server.url, verify=context, trust_env=False) as client:
        assert client.post(PREDICT, params={"n": 3}).json() == {"n": 3}
    with pytest.raises(httpx.TransportError):
        server.get("/v2/")
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http"), trust_env=False)


def test_certificates_that_cannot_be_used(fail_to_start, authority, tmp_path):
    cert, other, bad = (tmp_path / n for n in ("cert.pem", "other.pem", "bad.pem"))
    authority.issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(cert)
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    bad.write_text("nonsense")
    for options in (
        ("--tls-cert", tmp_path / "none"),
        ("--tls-cert", bad, "--tls-key", other),
        ("--tls-cert", cert, "--tls-key", other),
        ("--tls-cert", cert, "--tls-key", bad),
        ("--tls-cert", cert),
        ("--tls-key", other),
    ):
        ended = fail_to_start(ECHO, *options)
        assert ended.code == 1
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert "tls" in ended.stderr.lower()


# -- pages of other origins


PAGE = """<script>
async function call(url) {
  const form = new FormData();
  form.append("data", new Blob(["x"]), "x.txt");
  const answer = await fetch(url, {
    method: "POST", body: form, headers: {"X-Request-ID": "from-a-page"},
  });
  return [await answer.json(), answer.headers.get("X-Request-ID")];
}
</script>"""


class _Elsewhere(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Elsewhere) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{site.server_port}"
        site.shutdown()
        thread.join()


def test_a_page_of_another_origin(serve: Serve, page, elsewhere):
    server = serve(
        UPLOAD, "--cors-origin", f"{elsewhere}/", "--cors-origin", "http://x.y"
    )
    other = serve(UPLOAD, "--cors-origin", "http://x.y")
    page.goto(elsewhere)
    path = "/v2/models/upload/predict/"
    body, request_id = page.evaluate(f"call('{server.url}{path}')")
    assert body["predictions"] == SHA256_OF_X
    assert request_id == "from-a-page"
    failure = page.evaluate(f"call('{other.url}{path}').catch(String)")
    assert "TypeError" in failure


def test_a_preflight_needs_no_token(serve: Serve, tokens):
    server = serve(ECHO, "--auth-token-file", tokens, "--cors-origin", "http://x.y")
    headers = {
        "Origin": "http://x.y",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for path in (PREDICT, f"/{PREDICT}/"):
        url = f"{server.url}{path}"
        answer = server.client.request("OPTIONS", url, headers=headers)
        assert answer.status_code == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "http://x.y"
    refused = server.post(PREDICT, headers={"Origin": "http://x.y"})
    assert refused.status_code == 401
    assert refused.headers["Access-Control-Allow-Origin"] == "http://x.y"


# -- proxies


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


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.1:555", "192.0.2.1"),
        ("[2001:db8::1]:555", "2001:db8::1"),
        ("::ffff:192.0.2.1, ::ffff:127.0.0.1", "192.0.2.1"),
        ("192.0.2.1, 127.0.0.1:80", "192.0.2.1"),
        ("nobody", "127.0.0.1"),
    ],
)
def test_how_proxies_write_addresses(forwarded, client):
    """The server listens on IPv6 as well, where IPv4 has a form of its own."""
    for trusted in ("127.0.0.1", "::ffff:127.0.0.1"):
        seen = asyncio.run(_client_behind(trusted, forwarded))
        assert seen == ipaddress.ip_address(client)


async def _client_behind(trusted: str, forwarded: str):
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=request.get(CLIENT) or request.remote)

    class Transport(asyncio.Transport):
        def get_extra_info(self, name, default=None):
            return ("::ffff:127.0.0.1", 1, 0, 0) if name == "peername" else default

    headers = {"X-Forwarded-For": forwarded}
    transport = Transport()
    request = make_mocked_request("GET", "/", headers=headers, transport=transport)
    answer = await heed_proxies([trusted])(request, handler)
    address = ipaddress.ip_address(answer.text)
    return getattr(address, "ipv4_mapped", None) or address


def test_no_address(fail_to_start):
    ended = fail_to_start(ECHO, "--trusted-proxy", "proxy.example")
    assert ended.code == 1
    assert "--trusted-proxy" in ended.stderr


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_request_buffering off;
    proxy_http_version 1.1;
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
  }}
}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def behind_nginx(nginx, serve: Serve, tmp_path) -> Iterator[str]:
    models = (ECHO, UPLOAD, "--trusted-proxy", "127.0.0.1")
    server = serve(*models, "--base-path", "/models/here")
    cut = serve(*models)
    port = _free_port()
    config = tmp_path / "nginx.conf"
    config.write_text(
        NGINX.format(folder=tmp_path, port=port, url=server.url, cut=cut.url)
    )
    process = subprocess.Popen([nginx, "-c", config, "-p", tmp_path])
    try:
        with socket.socket() as probe:
            wait_until(lambda: probe.connect_ex(("127.0.0.1", port)) == 0)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("base", ["/models/here", "/cut"])
def test_links_behind_nginx(behind_nginx, base):
    url = behind_nginx
    get = partial(httpx.get, trust_env=False)
    for link in get(f"{url}{base}/").json()["links"]:
        assert get(f"{url}{link['href']}").status_code == 200
    [link] = get(f"{url}{base}/v2/models/echo/").json()["links"]
    assert get(f"{url}{link['href']}").json()["id"] == "echo"


@pytest.mark.parametrize("base", ["/models/here", "/cut", "/silent", "/silent/both"])
def test_behind_nginx(behind_nginx, page, base):
    """Also where the proxy does not say that it has cut off a prefix."""
    url = behind_nginx
    get = partial(httpx.get, trust_env=False)
    for path in ("/ui", "/"):
        called = f"{url}{base}{path}"
        answer = get(called, headers={"Accept": "text/html"})
        assert urljoin(called, answer.headers["Location"]) == f"{url}{base}/ui/"
    for path in (PREDICT, PREDICT.rstrip("/"), f"/{PREDICT}"):
        called = f"{url}{base}{path}?n=1"
        prefer = {"Prefer": "respond-async"}
        job = httpx.post(called, headers=prefer, trust_env=False)
        place = urljoin(called, job.headers["Location"])
        with httpx.stream("GET", f"{place}/events", trust_env=False) as events:
            events.read()
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


# -- those who take their time


def test_many_slow_clients(serve: Serve):
    """They hold connections, and that is all."""
    server = serve(ECHO)
    address = ("127.0.0.1", server.port)
    slow = [socket.create_connection(address) for _ in range(500)]
    try:
        for text in (b"P", b"O", b"S", b"T", b" "):
            for connection in slow:
                connection.sendall(text)
            assert server.post(PREDICT, params={"n": 1}).json() == {"n": 1}
    finally:
        for connection in slow:
            connection.close()


def _send(server: Server, text: bytes) -> tuple[dict[str, str], bytes]:
    """Send bytes, and return the head and the body that come back until the end."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(text)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    headers = dict(field.lower().split(": ", 1) for field in fields)
    return {**headers, "status": first.split()[1]}, body


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SECRET\rX\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"SECRET" * 2000 + b"\r\n\r\n",
        b"GET /?token=SECRET" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /?token=SECRET more HTTP/1.1\r\n\r\n",
        b"SECRET\x00 / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: SECRET\r\n" * 200 + b"\r\n",
    ],
)
def test_a_head_that_cannot_be_read(serve: Serve, head):
    """Neither the answer nor the log quotes it."""
    server = serve(ECHO, "--debug", "--debug-endpoint")
    headers, body = _send(server, head)
    assert headers["status"] == "400"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"message": "The request cannot be read."}
    request_id = headers["x-request-id"]
    server.wait_for_output(f'aiohttp.access .*127.0.0.1 {request_id} "UNKNOWN /" 400 ')
    metrics = server.get("/metrics").text
    assert 'requests_total{method="other",route="unknown",status="400"} 1.0' in metrics
    assert "SECRET" not in server.output + body.decode() + server.get("/v2/debug").text


def test_a_body_that_cannot_be_read(serve: Serve):
    server = serve(ECHO, "--debug")
    fields = "POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    headers, _ = _send(server, fields.encode() + b"SECRET\r\n")
    assert headers["status"] in ("400", "404")
    assert server.get("/v2/").status_code == 200
    assert "SECRET" not in server.output


def test_an_expectation_that_nobody_meets(serve: Serve):
    server = serve(ECHO)
    for path in ("/v2/", "/no/such/place"):
        answer = server.get(path, headers={"Expect": "foo", "X-Request-ID": "mine"})
        assert answer.status_code == 417
        assert answer.json() == {"message": "Expectation Failed"}
        assert answer.headers["X-Request-ID"] == "mine"


def test_a_body_is_asked_for_of_whom_is_let_in(serve: Serve, tokens):
    server = serve(UPLOAD, "--auth-token-file", tokens)
    url = f"{server.url}/v2/models/upload/predict/"
    big = tokens.with_name("big")
    big.write_bytes(b"x" * (2 << 20))

    def upload(*more: str) -> list[str]:
        command = ["curl", "-sv", "--noproxy", "*", "-F", f"data=@{big}", url, *more]
        done = subprocess.run(command, capture_output=True, timeout=30, check=True)
        seen = done.stderr.decode(errors="replace")
        return re.findall(r"< HTTP/1.1 (\d+)", seen)

    expect = ("-H", "Expect: 100-continue")
    assert upload(*expect) == ["401"]
    assert upload(*expect, "-H", "Authorization: Bearer first-secret") == ["100", "200"]
    odd = {"Expect": "foo"}
    assert server.get("/v2/", headers=odd).status_code == 401
    assert server.get("/v2/health/live", headers=odd).status_code == 417
    assert server.get("/v2/", headers=odd | bearer("first-secret")).status_code == 417


# -- GPUs and memory


def test_gpus(serve: Serve):
    models = (f"--model={name}={MODELS / 'environment.py'}" for name in "ab")
    server = serve(*models, "--workers=3", "--gpus=0,1", "--raw-predictions")

    def places() -> dict[str, list[str]]:
        found = server.get("/v2/health/ready").json()["models"]
        return {name: [w["gpu"] for w in found[name]["workers"]] for name in found}

    expected = {"a": ["0", "1", "0"], "b": ["1", "0", "1"]}
    assert places() == expected
    health = server.get("/v2/health/ready").json()["models"]["a"]["workers"]
    os.kill(health[1]["pid"], signal.SIGKILL)
    wait_until(lambda: "died" in server.get("/metrics").text)
    wait_until(
        lambda: all(
            worker["state"] == "idle"
            for worker in server.get("/v2/models/a/ready").json()["workers"]
        )
    )
    assert places() == expected
    seen = {}
    for _ in range(30):
        answer = prediction(server.post("/v2/models/a/predict/"))
        seen[answer["pid"]] = answer["gpu"]
    workers = server.get("/v2/models/a/ready").json()["workers"]
    assert seen == {worker["pid"]: worker["gpu"] for worker in workers}


def test_a_worker_that_leaks(serve: Serve):
    server = serve(
        f"--model=environment={MODELS / 'environment.py'}",
        *("--max-worker-memory", "300", "--raw-predictions"),
    )
    path = "/v2/models/environment/predict/"
    pids = set()
    for n in range(200):
        answer = server.post(path, params={"mib": 20, "n": n})
        assert prediction(answer)["n"] == n
        pids.add(prediction(answer)["pid"])
        [worker] = server.get("/v2/models/environment/ready").json()["workers"]
        assert worker["memory"] < 340 << 20
    assert 10 <= len(pids) <= 25
    assert 'replacements_total{cause="memory"' in server.get("/metrics").text
