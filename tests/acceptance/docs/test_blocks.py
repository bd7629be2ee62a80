"""Every code block of the README and of the documentation does what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.docs.blocks import PageRun, find_blocks, matches
from tests.server import ROOT

PAGES = sorted(
    page
    for page in [ROOT / "README.md", *(ROOT / "doc").rglob("*.md")]
    if "_build" not in page.parts and any(find_blocks(page))
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page(page: Path, tmp_path: Path) -> None:
    run = PageRun(page, tmp_path)
    problems: list[str] = []
    try:
        for block in find_blocks(page):
            run.run(block)
    finally:
        for port in list(run.servers):
            problems += run.stop(port)
    assert problems == []


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        ("a ... c", "a b\nb c\n", True),
        ("a ... c", "a b", False),
        ("a", "a b", False),
        ('{"x": 0.333, "y": "..."}', '{"y":"1f","x":0.33333}', True),
        ('{"x": 0.333}', '{"x":0.5}', False),
        ('{"x": 1}', '{"x":true}', False),
        ("[1, 2]", "[1, 2, 3]", False),
    ],
)
def test_comparison(expected: str, output: str, same: bool) -> None:
    assert matches(expected, output) is same
