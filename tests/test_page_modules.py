"""The page's modules in node, and what must not be in them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WEB = ROOT / "deepaas" / "web"


def test_the_modules_in_node():
    node = shutil.which("node")
    if node is None:
        missing = "node is missing: apt-get install nodejs (20 or newer)"
        if os.environ.get("DEEPAAS_TEST_NO_SKIP") == "1":
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", ROOT / "tests" / "web"],
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


def test_every_module_that_is_loaded_at_first_is_preloaded():
    """A module that another one names would else wait for it."""
    text = (WEB / "index.html").read_text()
    preloaded = set(re.findall(r'rel="modulepreload" href="static/(\S+)"', text))
    loaded = set()
    waiting = ["main.js"]
    while waiting:
        name = waiting.pop()
        loaded.add(name)
        source = (WEB / "static" / name).read_text()
        found = re.findall(r'^(?:import|export) .*from "\./(\S+)";', source, re.M)
        found += re.findall(r'^} from "\./(\S+)";', source, re.M)
        waiting += [one for one in found if one not in loaded]
    assert loaded - {"main.js"} == preloaded
