"""The page of a real server in a real browser, as the tests of the page use it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Locator, Page, Route

from tests.server import Server
from tests.shim_openapi import convert

ROOT = Path(__file__).parent.parent
WEB = ROOT / "deepaas" / "web"
SAMPLES = ROOT / "examples" / "digits" / "deepaas_digits" / "data"

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)

WATCH = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`));
window.longTasks = [];
new PerformanceObserver((list) =>
  list.getEntries().forEach((entry) => window.longTasks.push(entry.duration))
).observe({ entryTypes: ["longtask"] });
"""

OVERFLOW = "() => document.documentElement.scrollWidth - innerWidth"


class Watched:
    """A page that remembers what it said, whom it called and what was refused."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.urls: list[str] = []
        self.expected: list[str] = []
        """Patterns of messages that the test brings about."""
        page.add_init_script(WATCH)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("dialog", lambda dialog: self.errors.append(dialog.message))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, server: Server, place: str = "", base: str = "") -> Page:
        """Open the page, `place` being what follows the #."""
        serve_page(self.page, server, base)
        self.page.goto(f"{server.url}{base}/ui/#{place}")
        self.page.locator("h1").first.wait_for()
        return self.page

    def check(self) -> None:
        """Fail if anything was refused, any error said, or any other host called."""
        assert self.page.evaluate("window.violations") == []
        unexpected = [
            error
            for error in self.errors
            if not any(re.search(pattern, error) for pattern in self.expected)
        ]
        assert unexpected == [], unexpected
        hosts = {urlsplit(url).netloc for url in self.urls if url.startswith("http")}
        assert hosts <= {urlsplit(self.page.url).netloc}


def serve_page(page: Page, server: Server, base: str) -> None:
    """Answer for /openapi.json as long as the server does not."""
    document: dict[str, Any] = {}

    def answer(route: Route) -> None:
        if not document:
            headers = {
                name: value
                for name, value in route.request.headers.items()
                if name == "authorization"
            }
            found = server.get(f"{base}/swagger.json", headers=headers)
            if found.status_code != 200:
                route.fulfill(status=found.status_code, body=found.text)
                return
            document.update(convert(found.json()))
        route.fulfill(body=json.dumps(document), content_type="application/json")

    page.route("**/openapi.json", answer)
    if server.get(f"{base}/ui/").status_code != 200:
        page.route("**/ui/**", serve_file)


def serve_file(route: Route) -> None:
    """Answer as the server will for its static files."""
    place = urlsplit(route.request.url).path.rpartition("/ui/")[2] or "index.html"
    file = WEB / place
    if not file.is_file():
        route.fulfill(status=404)
        return
    types = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
    headers = {
        "Content-Type": types.get(file.suffix, "image/svg+xml"),
        "Content-Security-Policy": POLICY,
    }
    route.fulfill(body=file.read_bytes(), headers=headers)


def field(page: Page, name: str) -> Locator:
    """The field of an argument."""
    return page.locator(f'.field[data-name="{name}"]')


def enter(page: Page, name: str, text: str) -> None:
    more = page.locator("details.more")
    if more.count() and not field(page, name).is_visible():
        more.locator("summary").click()
    field(page, name).locator("input, textarea").first.fill(text)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def predict(page: Page) -> Any:
    """Press Predict; return the answer, when it is on the page."""
    with page.expect_response(re.compile("/predict/")) as answer:
        press(page, "Predict")
    page.locator('.output:not([aria-busy="true"])').wait_for()
    return answer.value


def model_place(name: str, *rest: str) -> str:
    return "/m/" + "/".join(quote(part, safe="") for part in (name, *rest))
