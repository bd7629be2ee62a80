"""--model NAME=TARGET: modules and files, and how they are imported."""

import pickle
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import Serve
from tests.server import MODELS

ECHO = f"echo={MODELS / 'echo.py'}"

NET = """\
import enum
from webargs import fields
from utils import ANSWER

class Color(enum.Enum):
    RED = 1

class ColorField(fields.Field):
    def _deserialize(self, value, *args, **kwargs):
        return Color[value]

def get_predict_args():
    return {"color": ColorField(required=True)}

def predict(color):
    return [ANSWER, isinstance(color, Color), Color.__module__]
"""


def write(path, text="def predict(): return __name__\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def predict(server, model="m", **options):
    answer = server.post(f"/v2/models/{model}/predict/", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


# Modules


@pytest.mark.parametrize("target", ["models.pytorch_net", "models.pytorch_net:Net"])
def test_a_module_of_the_working_folder(serve: Serve, tmp_path, target):
    write(
        tmp_path / "models" / "pytorch_net.py",
        """\
        def predict(): return __name__
        class Net:
            def predict(self): return __name__
        """,
    )
    server = serve(f"--model=m={target}", cwd=tmp_path)
    assert predict(server) == "models.pytorch_net"


def test_a_folder_is_not_taken_for_the_module_of_its_name(serve: Serve, tmp_path):
    write(tmp_path / "net" / "__init__.py")
    server = serve("--model", "m=net", cwd=tmp_path)
    assert predict(server) == "net"


# Files


@pytest.mark.parametrize(
    ("path", "module"),
    [
        ("net.py", "net"),
        ("my-net.py", "my-net"),
        ("some_net/__init__.py", "some_net"),
        ("net", "net"),
        ("net.txt", "net"),
        ("colon:net.py", "colon:net"),
        ("net.v1.py", "_deepaas_model_m"),  # a module's name has no dot
    ],
)
def test_a_file_is_imported_under_its_own_name(serve: Serve, tmp_path, path, module):
    write(tmp_path / path)
    server = serve("--model", f"m={path}", cwd=tmp_path)
    assert predict(server) == module


@pytest.mark.parametrize("way", ["executor", "pool", "fork_server", "loky"])
def test_processes_of_a_file(spawns, way):
    assert predict(spawns, params={"way": way}) == "[0,2,4]"


def test_a_pickle_of_a_file(spawns):
    answer = spawns.post("/v2/models/m/predict/", params={"way": "pickle"})
    assert answer.status_code == 200
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(answer.content)
    load = "import pickle, sys; print(pickle.load(sys.stdin.buffer))"
    beside = subprocess.run(
        [sys.executable, "-c", load],
        input=answer.content,
        cwd=MODELS,
        check=True,
        capture_output=True,
    )
    assert beside.stdout == b"[Point(x=0), Point(x=1), Point(x=2)]\n"


@pytest.fixture(scope="module")
def spawns(serve_module: Serve):
    return serve_module("--model", f"m={MODELS / 'spawns.py'}")


def test_two_files_of_one_name_each_with_its_neighbour(serve: Serve, tmp_path):
    for folder in ("one", "two"):
        write(tmp_path / folder / "net.py", NET)
        write(tmp_path / folder / "utils.py", f"ANSWER = {folder!r}")
    options = [f"--model={name}={name}/net.py" for name in ("one", "two")]
    server = serve(*options, cwd=tmp_path)
    for name in ("one", "two"):
        answer = predict(server, name, params={"color": "RED"})
        assert answer == f'["{name}",true,"net"]'


@pytest.mark.parametrize("path", ["json.py", "numpy.py", "sys.py", "numpy/__init__.py"])
def test_a_file_that_hides_a_module(fail_to_start, tmp_path, path):
    write(tmp_path / path)
    ended = fail_to_start("--model", f"m={path}", cwd=tmp_path)
    assert ended.code == 1
    (line,) = ended.stderr.splitlines()
    module = path.partition("/")[0].removesuffix(".py")
    assert f"'m' cannot be served: {tmp_path / path} hides the module" in line
    assert f"{module!r} (" in line


def test_a_file_that_is_on_the_path_hides_nothing(serve: Serve, tmp_path):
    write(tmp_path / "net.py")
    server = serve(
        "--model", "m=net.py", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}
    )
    assert predict(server) == "net"


def test_a_file_that_is_missing(fail_to_start, tmp_path):
    ended = fail_to_start("--model", "m=models.py", cwd=tmp_path)
    assert ended.code == 1
    assert f"no file {tmp_path / 'models.py'}." in ended.stderr
