"""deepaas-cli init and check: a package that works as it is written."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import venv
from pathlib import Path

import httpx
import pytest

from tests.acceptance.cli.conftest import DEEPAAS_CLI, ECHO
from tests.server import MODELS, ROOT

PARTS = ("deepaas", "setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE")
OFFLINE = ("--no-index", "--no-build-isolation", "--disable-pip-version-check", "-q")


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """An environment with deepaas as an ordinary installation from this checkout.

    What else is needed comes from the environment of the tests, so that pip works
    without a network.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    packages = site.getsitepackages()[0]
    [target] = (folder / "venv" / "lib").glob("python*/site-packages")
    for name in ("setuptools", "_distutils_hack", "pkg_resources", "distutils-prec"):
        for path in target.glob(f"{name}*"):  # those of the tests are newer
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (target / "others.pth").write_text(f"import site; site.addsitedir({packages!r})\n")
    source = folder / "source"
    source.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, source / part)
    run(python, "-m", "pip", "install", *OFFLINE, "--no-deps", source, cwd=folder)
    return python


def run(*command, cwd, code=0):
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.timeout(400)
def test_the_package_works_as_it_is_written(environment, tmp_path):
    bin = environment.parent
    written = run(bin / "deepaas-cli", "init", "my-words", cwd=tmp_path)
    assert "pip install -e '.[test]'" in written.stdout
    folder = tmp_path / "my-words"
    run(environment, "-m", "pip", "install", *OFFLINE, "-e", ".[test]", cwd=folder)
    tests = run(environment, "-m", "pytest", "-q", cwd=folder)
    assert "4 passed" in tests.stdout
    ruff = DEEPAAS_CLI.parent / "ruff"
    if ruff.exists():  # it is in another extra
        run(ruff, "check", ".", cwd=folder)
        run(ruff, "format", "--check", ".", cwd=folder)
    chosen = ("--model-name", "my-words")
    checked = run(bin / "deepaas-cli", *chosen, "check", cwd=folder)
    assert "warm and predict     ok  application/json" in checked.stdout
    assert predicted(bin / "deepaas-run", folder, *chosen)["words"] == ["the", "quick"]


def predicted(program, folder, *options):
    """Start the server, and return its answer for the example."""
    environment = {**os.environ, "HOME": str(folder)}
    command = [program, "--listen-port=0", "--reload", *options]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            page = next(line for line in process.stdout if "page" in line)
            url = page.split()[-1].removesuffix("/ui/")
            example = folder / "my_words" / "data" / "example.txt"
            answer = httpx.post(
                f"{url}/v2/models/my-words/predict/",
                files={"text": example.read_bytes()},
                data={"limit": 2},
                timeout=60,
                trust_env=False,
            )
            return answer.json()
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("json", "json is a name of Python's own."),
        ("class", "class is a name of Python's own."),
        ("aiohttp", "aiohttp would hide the installed module aiohttp."),
        ("2x", "2x is not the name of a package"),
        ("a b", "a b is not the name of a package"),
        ("../x", "../x is not the name of a package"),
        ("there", "there is there already."),
        ("broken-link", "broken-link is there already."),
    ],
)
def test_a_name_that_a_package_cannot_have(cli, tmp_path, name, problem):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").touch()
    (tmp_path / "broken-link").symlink_to("nowhere")
    done = cli("init", name, cwd=tmp_path)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr.startswith(f"deepaas-cli: {problem}")
    assert {path.name for path in tmp_path.iterdir()} == {"there", "broken-link"}


def test_a_folder_that_cannot_be_written(cli, tmp_path):
    (tmp_path / "empty").mkdir()
    assert cli("init", "empty", cwd=tmp_path).code == 0
    done = cli("init", "x", cwd=Path("/proc"))
    assert done.code == 1
    assert done.stderr.startswith("deepaas-cli: Cannot write x: ")


def test_init_without_a_name(cli):
    done = cli("init")
    assert done.code == 2
    assert "the following arguments are required: NAME" in done.stderr
    assert b"usage: deepaas-cli init NAME" in cli("init", "--help").stdout


WITH_EXAMPLES = """
from pathlib import Path
from webargs import fields

def get_predict_args():
    file = {"type": "file", "location": "form", "examples": ["written.py"]}
    return {
        "n": fields.Int(required=True, metadata={"examples": [3, 4]}),
        "file": fields.Field(required=True, metadata=file),
        "other": fields.Int(load_default=7),
    }

def predict(n, file, other):
    assert (n, other) == (3, 7)
    assert "def predict" in Path(file.filename).read_text()
    return b"1234"
"""


def test_check(cli):
    done = cli(cli.written(WITH_EXAMPLES), "check")
    assert done.code == 0
    assert done.stdout.decode().splitlines()[0].split() == ["load", "ok", "predict"]
    *_, last = done.stdout.decode().splitlines()
    assert last.startswith("warm and predict     ok  application/octet-stream, 4 bytes")


def test_check_of_an_example_that_is_missing(cli):
    source = WITH_EXAMPLES.replace("written.py", "none.png")
    done = cli(cli.written(source), "check")
    assert done.code == 1
    assert "There is no example " in done.stdout.decode()


def test_check_of_a_model_without_examples(cli):
    done = cli(ECHO, "check")
    assert done.code == 0
    assert "no example of n (metadata: examples)" in done.stdout.decode()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("warm_raises", "FileNotFoundError: weights.h5 is missing"),
        ("warm_dies", "exit code 7"),
    ],
)
def test_check_of_a_model_that_fails(cli, model, message):
    done = cli(f"--model=m={MODELS / model}.py", "check")
    assert done.code == 1
    assert message in done.stdout.decode()
    assert "deepaas-cli: The model 'm' has failed." in done.stderr
