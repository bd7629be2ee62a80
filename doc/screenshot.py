"""Takes the pictures of the documentation: the page, and Swagger UI."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.acceptance.docs.blocks import PageRun, find_blocks
from tests.acceptance.web.browsing import (
    SAMPLES,
    Watched,
    enter,
    model_place,
    predict,
    press,
)
from tests.server import Server

DOC = Path(__file__).parent
IMAGES = DOC / "images"

DESKTOP = (1200, 800)
PHONE = (390, 844)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server("--model-name=digits", directory=Path(folder))
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        try:
            for name, size, scheme in (
                ("light", DESKTOP, "light"),
                ("dark", DESKTOP, "dark"),
                ("phone", PHONE, "light"),
            ):
                take_page(browser, server, name, size, scheme)
            take_swagger(browser, server.url, IMAGES / "swagger.png")
            take_iris(browser, Path(folder))
        finally:
            browser.close()
            server.close()
        take_tides(Path(folder, "tides"))


def take_iris(browser: Browser, folder: Path) -> None:
    """Take the page of the model that the quickstart writes."""
    model = next(
        block
        for block in find_blocks(DOC / "quickstart.md")
        if block.marks.get("file") == "iris.py"
    )
    (folder / "iris.py").write_text(model.text)
    server = Server(f"--model=iris={folder / 'iris.py'}", directory=folder / "iris")
    page = browser.new_page(viewport={"width": 1000, "height": 700})
    page.goto(server.url)
    predict(page)
    page.get_by_text("versicolor").filter(visible=True).first.wait_for()
    page.screenshot(path=IMAGES / "page-iris-light.png", full_page=True)
    page.close()
    server.close()


def take_tides(folder: Path) -> None:
    """Follow the tutorial, and keep the picture that its model answers with."""
    folder.mkdir()
    run = PageRun(DOC / "tutorial.md", folder)
    for block in find_blocks(run.page):
        run.run(block)
    for port in list(run.servers):
        run.stop(port)
    shutil.copy(folder / "page/tides/forecast.png", IMAGES / "tides-forecast.png")


def take_page(
    browser: Browser, server: Server, name: str, size: tuple[int, int], scheme: str
) -> None:
    """Walk through the page in one look, as a newcomer does, and take its views."""
    page = browser.new_page(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )

    def save(view: str) -> None:
        page.screenshot(path=IMAGES / f"page-{view}-{name}.png", full_page=True)

    watched = Watched(page)
    page.goto(server.url)
    page.get_by_role("button", name="Use the example three.png").click()
    predict(page)
    page.locator(".best-label", has_text="3").wait_for()
    save("predict")
    page.get_by_role("radio", name="image/png").check()
    predict(page)
    page.locator(".picture img").wait_for()
    page.evaluate("scrollTo(0, 0)")
    save("try")
    for rate in (0.002, 0.005):
        train(page, watched, server, rate)
    save("training")
    watched.open(server, model_place("digits", "jobs"))
    page.locator("table.jobs svg").first.wait_for()
    save("jobs")
    for row in (0, 1):
        page.locator("table.jobs").get_by_role("checkbox").nth(row).check()
    press_link(page, "Compare 2")
    page.locator(".plot canvas").nth(1).wait_for()
    save("compare")
    page.close()


def train(page: Page, watched: Watched, server: Server, rate: float) -> None:
    """Start a training of 50 epochs, and wait until some of it is drawn."""
    watched.open(server, model_place("digits", "train"))
    for name, value in (("epochs", "50"), ("learning_rate", str(rate))):
        enter(page, name, value)
    press(page, "Start training")
    points = re.compile(r"[2-5]\d")
    expect(page.locator("[data-points]")).to_have_attribute(
        "data-points", points, timeout=60_000
    )


def press_link(page: Page, name: str) -> None:
    page.get_by_role("link", name=name).click()


def take_swagger(browser: Browser, url: str, file: Path) -> None:
    page = browser.new_page(viewport={"width": 1100, "height": 1250})
    page.goto(f"{url}/api")
    operation = page.locator("#operations-models-predict-digits")
    operation.locator("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input[type=file]").set_input_files(SAMPLES / "three.png")
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table").wait_for()
    operation.screenshot(path=file)
    page.close()


if __name__ == "__main__":
    main()
