"""The log says each thing once."""

from __future__ import annotations

import re

import pytest

from tests.server import ROOT, wait_until

TWICE = re.compile(r"(?:^|(?<=[\s\[(]))(\w[\w.' ]*): \1\b")
FAILING = "--model=failing=tests/models/failing.py"
STEPS = "--model=steps=tests/models/steps.py"


def repeated(text: str) -> list[str]:
    return [line for line in text.splitlines() if TWICE.search(line)]


def record(server, pattern: str) -> str:
    """A record of the log with the lines that belong to it."""
    server.stop()
    records = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", server.stderr)
    [found] = [text for text in records if re.search(pattern, text)]
    return found


def test_what_a_model_raises(serve):
    server = serve(FAILING, errors_expected=True)
    headers = {"X-Request-ID": "mine"}
    server.post("/v2/models/failing/predict", params={"how": "value"}, headers=headers)
    server.wait_for_output("^ValueError: the text$")  # the last line
    text = record(server, "ERROR .* mine: ")
    first, *traceback = text.splitlines()
    assert first.endswith(" mine: ValueError: the text")
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-1] == "ValueError: the text"
    assert "ModelRaised" not in text


def test_what_a_training_and_a_job_raise(serve):
    server = serve(FAILING, STEPS, errors_expected=True)
    jobs = []
    for path in "steps/train/?fail=1", "failing/predict/?how=value":
        headers = {"Prefer": "respond-async"}
        job = server.post(f"/v2/models/{path}", headers=headers).json()
        server.wait_for_output(f"ERROR .* {job['uuid']}: ")
        jobs.append(job)
    for job in jobs:
        text = record(server, f"ERROR .* {job['uuid']}: ")
        assert re.search(": ValueError: (no luck|the text)$", text.splitlines()[0])
        assert "ModelRaised" not in text


@pytest.mark.parametrize("summary", ["", " (%(error_summary)s)"])
def test_a_format_of_its_own(serve, summary):
    """A summary that an operator has asked for is there."""
    name = "OS_DEFAULT__LOGGING_DEFAULT_FORMAT_STRING"
    form = f"%(levelname)s %(color)s%(message)s{summary}"
    server = serve(FAILING, env={name: form}, errors_expected=True)
    headers = {"X-Request-ID": "mine"}
    server.post("/v2/models/failing/predict", params={"how": "value"}, headers=headers)
    server.wait_for_output("^ERROR mine: ValueError: the text")
    server.stop()
    assert ("ModelRaised" in server.stderr) == bool(summary)


def test_no_line_repeats_its_subject(serve):
    server = serve(FAILING, STEPS, "--max-calls-per-worker=3", errors_expected=True)
    hows = ("nothing", "value", "str", "not implemented", "sys.exit", "SIGKILL")
    for how in hows:
        server.post("/v2/models/failing/predict", params={"how": how})
    for params in {}, {"fail": "1"}:
        job = server.post("/v2/models/steps/train", params=params).json()
        path = f"/v2/models/steps/train/{job['uuid']}"
        wait_until(lambda path=path: "result" in server.get(path).json())
    server.stop()
    assert repeated(server.output) == []


@pytest.mark.parametrize(
    "name",
    [
        *("bad_args", "bad_schema", "broken_import", "exit_on_import"),
        *("warm_raises", "warm_dies"),
    ],
)
def test_no_failure_of_the_start_repeats_its_subject(fail_to_start, name):
    ended = fail_to_start(f"--model={name}=tests/models/{name}.py", "--listen-port=0")
    assert ended.code == 1
    assert repeated(ended.stderr) == []


@pytest.mark.parametrize(
    ("line", "is_found"),
    [("model m: m: x", True), ("schema: schema must be", True), ("m: model m", False)],
)
def test_what_counts_as_repeated(line, is_found):
    assert bool(repeated(line)) == is_found


def test_nothing_names_a_document_that_readers_do_not_have():
    names = re.compile("CONTRACT|DESIGN" + r"\.md|CONTRACT section|DESIGN section")
    files = [
        *(file for folder in ("deepaas", "doc") for file in (ROOT / folder).rglob("*")),
        *(ROOT / "examples").rglob("*"),
        *(ROOT / "tests").rglob("*.py"),
    ]
    assert not [
        file
        for file in files
        if file.suffix in (".py", ".md", ".toml") and file.name != "test_log.py"
        if names.search(file.read_text())
    ]
