"""Swagger UI in a real browser: offline, strict, and with the form of a model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
from playwright.sync_api import Locator, Page

from deepaas.api.pages import CONTENT_SECURITY_POLICY
from tests.conftest import Serve
from tests.server import MODELS, ROOT

VENDOR = ROOT / "deepaas" / "web" / "vendor"

SAMPLE = ROOT / "examples/digits/deepaas_digits/data/three.png"

PHONE = 390
"""CSS pixels of the width of a common phone."""

REPORT_VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
"""

OUTSIDE = """(width) => [...document.querySelectorAll("#swagger-ui *")]
  .filter((element) => element.matches("input, select, button, textarea, img, p, td"))
  .filter((element) => element.getBoundingClientRect().right > width + 0.5)
  .map((element) => element.outerHTML.slice(0, 100))"""
"""Finds elements for which one would have to scroll to the side."""

FONT_SIZES = """() => [...document.querySelectorAll("#swagger-ui *")]
  .filter((element) => element.checkVisibility() && [...element.childNodes]
    .some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()))
  .map((element) => parseFloat(getComputedStyle(element).fontSize))"""


@pytest.fixture(scope="module")
def digits(serve_module: Serve, tmp_path_factory):
    pytest.importorskip("deepaas_digits")
    folder = str(tmp_path_factory.mktemp("model"))
    return serve_module("--model-name=digits", env={"DIGITS_MODEL_DIR": folder})


@pytest.fixture
def strict(page: Page) -> Iterator[Page]:
    """A page that must break no policy, log no error, and call one host only."""
    said, urls = [], []
    page.add_init_script(REPORT_VIOLATIONS)
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))
    yield page
    assert page.evaluate("window.violations") == []
    assert said == []
    hosts = {urlsplit(url).netloc for url in urls if url.startswith("http")}
    assert hosts == {urlsplit(page.url).netloc}


def open_operation(page: Page, name: str) -> Locator:
    operation = page.locator(f'[id="operations-models-{name}"]')
    operation.locator("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    return operation


def execute(page: Page, operation: Locator):
    with page.expect_response("**/predict/**") as answer:
        operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table").wait_for()
    return answer.value


def test_try_it_out_with_a_file(digits, strict):
    strict.goto(f"{digits.url}/api")
    operation = open_operation(strict, "predict-digits")
    operation.get_by_text("A picture of one digit, PNG or JPEG").wait_for()
    operation.locator("input[type=file]").set_input_files(SAMPLE)
    answer = execute(strict, operation)
    assert answer.status == 200
    assert answer.json()["label"] == 3
    status = operation.locator(".live-responses-table .response-col_status")
    status.get_by_text("200").first.wait_for()


def test_a_picture_as_answer(digits, strict):
    strict.goto(f"{digits.url}/api")
    operation = open_operation(strict, "predict-digits")
    operation.locator("input[type=file]").set_input_files(SAMPLE)
    operation.locator("[data-param-name=accept] select").select_option("image/png")
    answer = execute(strict, operation)
    assert answer.headers["content-type"] == "image/png"
    picture = operation.locator(".live-responses-table img")
    picture.wait_for()
    assert picture.evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 0


@pytest.mark.parametrize(
    "query",
    [
        "url=http://127.0.0.1:9/evil.json",
        "configUrl=http://127.0.0.1:9/config.json",
        'urls=[{"url":"http://127.0.0.1:9/evil.json","name":"evil"}]&urls.primaryName=evil',
        'spec={"swagger":"2.0","info":{"title":"evil","version":"1"},"paths":{}}',
        "validatorUrl=http://127.0.0.1:9/validator&oauth2RedirectUrl=http://127.0.0.1:9",
    ],
)
def test_the_query_names_no_document(digits, strict, query):
    """GHSA-qrmm-w75w-3wpx, and other options that Swagger UI took from there."""
    strict.goto(f"{digits.url}/api?{query}")
    strict.locator("#operations-models-predict-digits").wait_for()
    assert strict.locator(".info .title").inner_text().startswith("deepaas")
    assert strict.locator(".info a.link").get_attribute("href") == (
        f"{digits.url}/swagger.json"
    )


def test_the_page_on_a_phone(digits, strict):
    strict.set_viewport_size({"width": PHONE, "height": 800})
    strict.goto(f"{digits.url}/api")
    operation = open_operation(strict, "predict-digits")
    operation.locator("input[type=file]").set_input_files(SAMPLE)
    operation.locator("[data-param-name=accept] select").select_option("image/png")
    execute(strict, operation)
    assert strict.evaluate("document.documentElement.scrollWidth") == PHONE
    assert strict.evaluate(OUTSIDE, PHONE) == []
    assert min(strict.evaluate(FONT_SIZES)) >= 10


def test_the_headers_of_the_page_and_its_files(digits):
    for path in ("/api", "/api/", "/api?url=x"):
        headers = digits.get(path).headers
        assert headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
        assert "unsafe" not in CONTENT_SECURITY_POLICY
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Type"] == "text/html; charset=utf-8"
    for name, content_type in (
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("favicon-32x32.png", "image/png"),
    ):
        path = f"/api/static/{name}"
        packed = digits.get(path)
        plain = digits.get(path, headers={"Accept-Encoding": "identity"})
        assert packed.content == plain.content
        assert packed.headers["Content-Type"] == content_type
        assert packed.headers["X-Content-Type-Options"] == "nosniff"
        assert packed.headers["Cache-Control"] == "no-cache"
        assert ("Content-Encoding" in packed.headers) == ("image" not in content_type)
        again = digits.get(path, headers={"If-None-Match": packed.headers["ETag"]})
        assert again.status_code == 304
    for name in ("VENDORED.toml", "..%2Fapi.html", "api.html", "swagger-ui.css.gz"):
        assert digits.get(f"/api/static/{name}").status_code == 404


ENCODINGS = {
    "gzip": True,
    "br, gzip;q=0.5, *;q=0.1": True,
    "*": True,
    "identity": False,
    "gzip;q=0": False,
    "gzip;q=0, *": False,
    "br": False,
    "": False,
    "gzip;q=0.5, identity;q=0.8": False,
}
"""By Accept-Encoding: whether an answer may, and should, be packed."""


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("/api/static/swagger-ui-bundle.js", "swagger-ui-dist/swagger-ui-bundle.js.gz"),
        ("/api/static/swagger-ui.css", "swagger-ui-dist/swagger-ui.css.gz"),
        ("/ui/vendor/uPlot.iife.min.js", "uplot/dist/uPlot.iife.min.js.gz"),
    ],
)
def test_a_file_that_is_kept_packed(digits, path, file):
    packed = (VENDOR / file).read_bytes()
    content = gzip.decompress(packed)
    tags = set()
    for encoding, expected in ENCODINGS.items():
        headers = {"Accept-Encoding": encoding}
        for method in ("GET", "HEAD"):
            with digits.client.stream(method, path, headers=headers) as answer:
                raw = b"".join(answer.iter_raw())
            sent = packed if expected else content
            assert answer.headers["Content-Length"] == str(len(sent)), encoding
            assert raw == (sent if method == "GET" else b"")
            coding = "gzip" if expected else None
            assert answer.headers.get("Content-Encoding") == coding
            assert answer.headers["Vary"] == "Accept-Encoding"
            tags.add(answer.headers["ETag"])
    assert len(tags) == 1
    unchanged = digits.get(path, headers={"If-None-Match": tags.pop()})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@pytest.mark.parametrize("name", ["{x}", "a b/é", "%20"])
@pytest.mark.parametrize("base", ["", "/x/y"])
def test_an_odd_name(serve: Serve, strict, name, base):
    model = f"--model={name}={MODELS / 'echo.py'}"
    server = serve(model, *([f"--base-path={base}"] if base else []))
    strict.goto(f"{server.url}{base}//api/")
    operation = strict.locator(".opblock-post").first
    operation.locator("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input").first.fill("7")
    answer = execute(strict, operation)
    assert json.loads(answer.body()) == {"n": 7}
    place = f"{base}/v2/models/{quote(name, safe='')}/predict/"
    assert urlsplit(answer.url).path == place
