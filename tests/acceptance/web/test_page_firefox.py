"""The page in Firefox: one walk through it, as a smoke test."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.web.firefox import Firefox, firefox, make_profile
from tests.conftest import Serve
from tests.server import Server


def test_a_digit_and_a_training_in_firefox(
    serve: Serve, firefox_program: str, tmp_path: Path
) -> None:
    pytest.importorskip("deepaas_digits")
    server = serve("--model-name=digits", env={"DIGITS_MODEL_DIR": str(tmp_path)})
    make_profile(tmp_path / "profile")
    asyncio.run(asyncio.wait_for(walk(server, firefox_program, tmp_path), 100))


async def walk(server: Server, program: str, folder: Path) -> None:
    async with firefox(program, folder / "profile") as tab:
        await tab.open(f"{server.url}/")
        await click(tab, ".example")
        await tab.wait_for("document.querySelector('.file-name')")
        await click(tab, "button[type=submit]")
        best = "document.querySelector('.best-label strong')?.textContent"
        assert await tab.wait_for(best) == "3"
        await check_picture(tab)
        await tab.evaluate("void (location.hash = '#/m/digits/train')")
        await tab.wait_for("document.querySelector('.field[data-name=epochs]')")
        await click(tab, "button[type=submit]")
        await tab.wait_for("document.querySelector('.badge[data-status=done]')")
        await tab.wait_for("document.querySelector('.plot canvas')")
        # the last report may come a moment after the status
        await tab.wait_for("document.querySelector('[data-points=\"30\"]')")
        await check_picture(tab)
        names = await tab.evaluate(
            "JSON.stringify(performance.getEntriesByType('resource')"
            ".map((entry) => entry.name))"
        )
        assert all(name.startswith(server.url) for name in json.loads(names))
        assert tab.errors == []


async def click(tab: Firefox, selector: str) -> None:
    place = f"document.querySelector({json.dumps(selector)})"
    await tab.wait_for(place)
    await tab.evaluate(f"{place}.click()")


async def check_picture(tab: Firefox) -> None:
    """Fail if the page is blank."""
    with Image.open(io.BytesIO(await tab.screenshot())) as picture:
        colors = picture.convert("RGB").getcolors(maxcolors=1 << 24) or []
    assert len(colors) > 50
    assert max(count for count, _ in colors) < 0.95 * sum(count for count, _ in colors)
