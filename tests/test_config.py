"""etc/deepaas.conf.sample has every option; `make sample` writes it anew."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.server import ROOT

SAMPLE = ROOT / "etc" / "deepaas.conf.sample"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    path = tmp_path_factory.mktemp("etc") / "deepaas.conf.sample"
    generator = Path(sys.executable).parent / "oslo-config-generator"
    settings = ROOT / "etc" / "deepaas-config-generator.conf"
    subprocess.run(
        [generator, "--config-file", settings, "--output-file", path],
        check=True,
        cwd=ROOT,
    )
    return path.read_text()


def sections(text):
    """Cut a sample into the parts that its namespaces have written."""
    head, *parts = text.split("\n#\n# From ")
    return {part.partition("\n")[0]: part for part in parts} | {"": head}


def test_the_sample_is_up_to_date(generated):
    written = sections(SAMPLE.read_text())
    assert written.keys() == sections(generated).keys() == {"", "deepaas", "oslo.log"}
    assert written["deepaas"] == sections(generated)["deepaas"], "run: make sample"


def test_the_sample_has_the_options_of_logging(generated):
    # Another release of oslo.log words its help otherwise: only names count.
    for option in "debug", "log_file", "use_json", "logging_default_format_string":
        assert f"\n#{option} = " in SAMPLE.read_text()
        assert f"\n#{option} = " in generated


def test_the_sample_can_be_used_as_it_is(serve):
    server = serve("--config-file", SAMPLE, "--model", "echo=tests/models/echo.py")
    assert server.get("/v2/").status_code == 200
