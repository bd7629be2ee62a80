"""Configuration files: the sample, unknown keys, and special characters.

`make sample` writes etc/deepaas.conf.sample again.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from deepaas.config_sources import unread_keys
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


ECHO = "--model=echo=tests/models/echo.py"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        (
            "[DEFAULT]\nlistn_port = 1",
            "listn_port under [DEFAULT] is ignored: did you mean listen_port?",
        ),
        (
            "[DEFAULT]\nMax-Queued = 1",
            "Max-Queued under [DEFAULT] is ignored: did you mean max_queued?",
        ),
        (
            "[DEFAULT]\nuse_jason = 1",
            "use_jason under [DEFAULT] is ignored: did you mean use_json?",
        ),
        (
            "[DEFAULT]\npurpose = none",
            "purpose under [DEFAULT] is ignored: no option",
        ),
        (
            "[DEFAULT]\nlisten-port = 1",
            "listen-port under [DEFAULT] is ignored: did you mean listen_port?",
        ),
        (
            "[server]\nworkers = 2",
            "workers under [server] is ignored: options stand under [DEFAULT]",
        ),
    ],
)
def test_a_key_that_no_option_reads(serve, tmp_path, text, warning):
    config = tmp_path / "a.conf"
    config.write_text(text)
    server = serve("--config-file", config, ECHO)
    server.wait_for_output(
        re.escape(f"WARNING deepaas.cmd.run [-] {config}: {warning}")
    )


def test_keys_of_a_folder_and_of_two_files(serve, tmp_path):
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "1.conf").write_text("[DEFAULT]\nworkrs = 1\nworkers = 1")
    (tmp_path / "2.conf").write_text("[DEFAULT]\nlogfile = x\nportt = 2")
    options = ("--config-dir", folder, "--config-file", tmp_path / "2.conf")
    server = serve(*options, ECHO, "--log-file", tmp_path / "log")
    warnings = [
        line.partition("[-] ")[2]
        for line in (tmp_path / "log").read_text().splitlines()
        if "WARNING" in line
    ]
    assert warnings == [
        f"{tmp_path}/2.conf: portt under [DEFAULT] is ignored: no option",
        f"{folder}/1.conf: workrs under [DEFAULT] is ignored: did you mean workers?",
    ]
    assert server.get("/v2/").status_code == 200


def test_a_file_that_can_be_read_once(serve, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = ["sh", "-c", 'echo "[DEFAULT]" > "$0"', pipe]
    with subprocess.Popen(command) as writer:
        server = serve("--config-file", pipe, ECHO)
    assert writer.returncode == 0
    assert server.get("/v2/").status_code == 200


def test_every_option_of_the_sample_is_known(tmp_path):
    config = tmp_path / "all.conf"
    found = re.findall(r"^#(\w+) = ", SAMPLE.read_text(), re.MULTILINE)
    config.write_text("\n".join(["[DEFAULT]", *(f"{name} =" for name in found)]))
    assert "workers" in found
    conf = cfg.ConfigOpts()
    conf(["--config-file", str(config)])
    assert list(unread_keys(conf)) == []


def test_a_percent_sign_is_literal(serve, tmp_path):
    config = tmp_path / "a.conf"
    state = tmp_path / "100%s %(x)s %"
    config.write_text(
        f"[DEFAULT]\nbase_path = /50%d\nstate_dir = {state}\n"
        "model = 50%d=tests/models/echo.py\nmodel_name = 50%d\n"
        "logging_default_format_string = %% %(message)s\n"
    )
    server = serve("--config-file", config, "--model-name", "50%d")
    assert server.get("/50%25d/v2/").status_code == 200
    [model] = server.get("/50%25d/v2/models/").json()["models"]
    assert model["name"] == "50%d"
    assert server.get("/50%25d/swagger.json").json()["paths"]
    assert (state / "jobs.sqlite").exists()
    server.wait_for_output("^% 127.0.0.1 ")


def test_a_dollar_sign(serve, fail_to_start, tmp_path):
    """It names another option; $$ is the sign itself."""
    config = tmp_path / "a.conf"
    config.write_text(f"[DEFAULT]\nstate_dir = {tmp_path}/$HOME\n")
    ended = fail_to_start("--config-file", config, ECHO)
    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == (
        "deepaas-run: $HOME in a value names no option; write $$ for a dollar sign\n"
    )
    config.write_text(f"[DEFAULT]\nstate_dir = {tmp_path}/$$HOME\n")
    serve("--config-file", config, ECHO)
    assert (tmp_path / "$HOME" / "jobs.sqlite").exists()
