"""Takes the README's picture: Swagger UI with the form of the example model."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.server import Server

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "examples/digits/deepaas_digits/data/three.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server("--model-name=digits", directory=Path(folder))
        try:
            take(server.url, HERE / "images" / "swagger.png")
        finally:
            server.close()


def take(url: str, file: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 1250})
        page.goto(f"{url}/api")
        operation = page.locator("#operations-models-predict-digits")
        operation.locator("button").first.click()
        operation.get_by_role("button", name="Try it out").click()
        operation.locator("input[type=file]").set_input_files(SAMPLE)
        operation.get_by_role("button", name="Execute").click()
        operation.locator(".live-responses-table").wait_for()
        operation.screenshot(path=file)
        browser.close()


if __name__ == "__main__":
    main()
