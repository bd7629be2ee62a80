"""Answers of models that a browser opens as pages: their scripts do not run.

A page elsewhere sends a form to predict, and so makes the browser open the answer; the
token of the page at /ui/ is in the storage of the same origin.
"""

from __future__ import annotations

import html

import pytest
from playwright.sync_api import Page

from tests.conftest import Serve
from tests.server import MODELS, Server, wait_until

PREDICT = "/v2/models/active/predict/"

ACTIVE = (
    "text/html",
    "Text/HTML; charset=utf-8",
    "application/xhtml+xml",
    "text/xml",
    "application/xml",
    "image/svg+xml",
    "text/plain;a, text/html",
)
"""Types in which browsers run scripts."""


@pytest.fixture(scope="module")
def server(serve_module: Serve) -> Server:
    return serve_module(f"--model=active={MODELS / 'active.py'}")


def open_answer(page: Page, url: str, **fields: str) -> None:
    """Have a page of another origin send a form; wait for what it answers."""
    inputs = "".join(
        f'<input name="{name}" value="{html.escape(value)}">'
        for name, value in fields.items()
    )
    page.goto("about:blank")
    page.set_content(f'<form method="post" action="{url}">{inputs}</form>')
    with page.expect_navigation(url=url):
        page.evaluate("document.forms[0].submit()")


def check_harmless(page: Page) -> None:
    """Fail if a script of the answer has run, or could read what the page keeps."""
    assert page.evaluate("window.hurt") is None
    assert "hurt" not in page.content().split("<script")[0]
    assert page.evaluate("self.origin") == "null"


@pytest.mark.parametrize(
    ("how", "media_type"),
    [
        *(("bytes", media_type) for media_type in ACTIVE),
        # a file of another type has a Content-Disposition that makes browsers save it
        *(("file", media_type) for media_type in ("text/html", "image/svg+xml")),
        *(("stream", media_type) for media_type in ("text/html", "text/xml")),
    ],
)
def test_an_answer_that_is_a_page(
    server: Server, page: Page, how: str, media_type: str
) -> None:
    open_answer(page, f"{server.url}{PREDICT}", accept=media_type, how=how)
    check_harmless(page)


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml"])
def test_the_result_of_a_job_that_is_a_page(
    server: Server, page: Page, media_type: str
) -> None:
    prefer = {"Prefer": "respond-async"}
    job = server.post(PREDICT, params={"accept": media_type}, headers=prefer).json()
    place = f"{PREDICT}{job['uuid']}"
    wait_until(lambda: server.get(place).json()["status"] == "done")
    page.goto(f"{server.url}{place}/result")
    check_harmless(page)


def test_a_picture_in_the_page_that_is_opened_alone(server: Server, page: Page) -> None:
    """The address of a picture in the page is of the page's origin, and its policy."""
    page.goto(f"{server.url}/ui/")
    page.locator('.field[data-name="accept"] input, .field textarea').first.wait_for()
    page.evaluate(
        """async () => {
          const {blobAddress} = await import("./static/media.js");
          const body = new URLSearchParams({accept: "image/svg+xml"});
          const answer = await fetch("../v2/models/active/predict/",
            {method: "POST", body});
          window.kept = await answer.blob();
          window.address = blobAddress(window.kept);
        }"""
    )
    with page.expect_popup() as opened:
        page.evaluate("void window.open(window.address)")
    opened.value.wait_for_load_state()
    assert "<svg" in opened.value.content()
    assert opened.value.evaluate("window.hurt") is None
    assert opened.value.evaluate("document.documentElement.id") == ""


def test_what_can_do_no_harm_is_not_confined(serve: Serve) -> None:
    """Browsers refuse to show a PDF in a sandbox."""
    server = serve(f"--model=answers={MODELS / 'answers.py'}")
    confined = {}
    for media_type in ("application/json", "application/pdf", "image/png", "text/html"):
        answer = server.post(
            "/v2/models/answers/predict/", headers={"Accept": media_type}
        )
        policy = answer.headers.get("Content-Security-Policy")
        confined[media_type] = policy == "sandbox"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert confined == {**dict.fromkeys(confined, False), "text/html": True}
