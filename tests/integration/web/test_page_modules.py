"""The page's modules in node, and what must not be in them."""

import os
import re
import shutil
import subprocess

import pytest

from tests.server import ROOT

WEB = ROOT / "deepaas" / "web"


def test_the_modules_in_node():
    node = shutil.which("node")
    if node is None:
        missing = "node is missing: apt-get install nodejs (20 or newer)"
        if os.environ.get("DEEPAAS_TEST_NO_SKIP") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", ROOT / "tests" / "unit" / "web"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "file", sorted((WEB / "static").iterdir()), ids=lambda path: path.name
)
def test_nothing_that_makes_code_of_text(file):
    """The policy would refuse it; it must not be there at all."""
    text = file.read_text()
    sinks = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
    )
    assert re.findall(rf"{sinks}|style=\"|srcdoc|DOMParser", text) == []
    if file.suffix == ".js":
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert text.startswith("// "), "a module opens with its part in the page"


def test_the_page_has_no_inline_script_or_style():
    text = (WEB / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|style=|\son\w+=", text) == []
    assert "http" not in text.replace("http-equiv", "")


def imported(name: str) -> set[str]:
    """A module and those that it needs at once."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        found.add(one := waiting.pop())
        source = (WEB / "static" / one).read_text()
        names = re.findall(r'^(?:import|export|}) .*from "\./(\S+)";', source, re.M)
        waiting += [name for name in names if name not in found]
    return found


def test_what_the_views_need_is_fetched_at_once():
    """A module that only another one names would wait for it."""
    page = (WEB / "index.html").read_text()
    first = set(re.findall(r'rel="modulepreload" href="static/(\S+)"', page))
    assert imported("main.js") - {"main.js"} == first
    source = (WEB / "static" / "main.js").read_text()
    [modules] = re.findall(r"const MODULES = \{(.*?)\n\}", source, re.S)
    views = re.findall(r"^  (\w+): \[(.*?)\],$", modules, re.M | re.S)
    assert len(views) == 5
    for view, names in views:
        listed = re.findall(r'"(\w+)"', names)
        assert {f"{name}.js" for name in listed} == imported(f"{view}.js") - first
