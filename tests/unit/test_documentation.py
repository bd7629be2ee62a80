"""The texts that people read: their links, figures and marks, without a server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.server import ROOT

PAGES = sorted(
    page
    for folder in ("", "doc", "examples")
    for page in (ROOT / folder).glob("*.md" if folder == "" else "**/*.md")
    if "_build" not in page.parts
)
BENCHMARKS = ROOT / "doc" / "benchmarks.md"


def tokens(page: Path) -> Iterator[Token]:
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        yield token
        yield from token.children or ()


def links(page: Path) -> Iterator[str]:
    for token in tokens(page):
        if token.type in ("link_open", "image"):
            yield str(token.attrs.get("href", token.attrs.get("src")))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the headings, as GitHub and MyST name them."""
    found = list(tokens(page))
    titles = [
        following.content
        for token, following in pairwise(found)
        if token.type == "heading_open"
    ]
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {slug.replace(" ", "-") for slug in slugs}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_elsewhere_are_encrypted(page: Path) -> None:
    for link in links(page):
        if link.startswith("http://"):
            assert link.startswith("http://127.0.0.1"), link


def test_the_index_leads_to_every_page() -> None:
    index = (ROOT / "doc" / "index.md").read_text()
    listed = re.findall(r"^(?:[^|\n]* <)?([a-z/_-]+)>?$", index, re.MULTILINE)
    pages = {
        page.relative_to(ROOT / "doc").with_suffix("").as_posix()
        for page in PAGES
        if page.is_relative_to(ROOT / "doc")
    }
    assert sorted(listed) == sorted(pages - {"index"})


def rows(page: Path) -> Iterator[list[str]]:
    """Yield the rows of the tables of a page, as the texts of their cells."""
    cells: list[str] = []
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        if token.type == "tr_open":
            cells = []
        elif token.type == "inline":
            cells.append(token.content)
        elif token.type == "tr_close":
            yield cells


COLUMNS = {"calls/s": 3, "median ms": 6, "start": 10, "memory": 12}
SERVERS = ("ours", "deepaas-2.6.0", "litserve", "bentoml", "mlserver")


@pytest.mark.parametrize("page", ["README.md", "doc/comparison.md"])
def test_figures_are_those_of_the_benchmark(page: str) -> None:
    """The tables beside other servers repeat what the command has printed."""
    printed = {
        (cells[0], cells[1], cells[2]): cells
        for cells in rows(BENCHMARKS)
        if len(cells) == 16
    }
    checked = 0
    for title, *figures in filter(None, rows(ROOT / page)):
        found = re.fullmatch(r"(?:`(\w+)`, (\d+) clients?, )?(.+?)(?:,.*)?", title)
        if found is None or len(figures) != len(SERVERS):
            continue
        workload, clients, what = found.groups()
        column = next((c for name, c in COLUMNS.items() if what.startswith(name)), None)
        if column is None:
            continue
        checked += 1
        for server, figure in zip(SERVERS, figures, strict=True):
            row = printed[workload or "echo", clients or "16", server]
            assert row[column] == figure, (title, server)
    assert checked >= 4
