"""The page of a real server in a real browser, as the tests of the page use it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlsplit

from playwright.sync_api import Locator, Page, expect

from tests.server import ROOT, Server

# Milliseconds. A process that has to start, or a training, may take more than
# Playwright's own 5 s where several tests share the machine.
expect.set_options(timeout=20_000)

WEB = ROOT / "deepaas" / "web"
SAMPLES = ROOT / "examples" / "digits" / "deepaas_digits" / "data"

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
        # A worker that is being replaced is not ready, which the page shows.
        if message.location.get("url", "").endswith("/v2/health/ready"):
            return
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def open(self, server: Server, place: str = "", base: str = "") -> Page:
        """Open the page, `place` being what follows the #."""
        # If only that changed, the view before would still be there for a while.
        self.page.goto("about:blank")
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


def check_log(page: Page, log: str) -> None:
    """Wait until the page shows a whole log: none of its lines is lost or repeated."""
    lines = page.locator(".log .line")
    expect(lines).to_have_count(log.count("\n"))
    shown = [line.rstrip("\n") + "\n" for line in lines.all_inner_texts()]
    assert "".join(shown) == log
