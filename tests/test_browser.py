"""Swagger UI in a real browser: offline, with the model's form, and it works."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import Serve


def test_try_it_out_with_a_file(serve: Serve, page, tmp_path):
    digits = pytest.importorskip("deepaas_digits")
    sample = Path(digits.__file__).parent / "data" / "three.png"
    server = serve("--model-name=digits", env={"DIGITS_MODEL_DIR": str(tmp_path)})
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{server.url}/api")

    operation = page.locator("#operations-models-predict-digits")
    operation.locator("button").first.click()
    operation.get_by_text("A picture of one digit, PNG or JPEG").wait_for()
    operation.get_by_role("button", name="Try it out").click()
    operation.locator("input[type=file]").set_input_files(sample)
    with page.expect_response("**/predict/") as answer:
        operation.get_by_role("button", name="Execute").click()
    assert answer.value.status == 200
    assert answer.value.json()["label"] == 3
    operation.locator(".live-responses-table .response-col_status").get_by_text(
        "200"
    ).first.wait_for()

    hosts = {urlsplit(url).netloc for url in requests if url.startswith("http")}
    assert hosts == {f"127.0.0.1:{server.port}"}
