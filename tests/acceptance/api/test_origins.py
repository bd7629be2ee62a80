"""Pages of other origins."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest

from tests.acceptance.api.conftest import ECHO, PREDICT, SHA256_OF_X, UPLOAD
from tests.conftest import Serve

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
