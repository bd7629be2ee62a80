"""Places in an author's code, for messages."""

import importlib
import runpy
import sys

import pytest

from deepaas.model.places import defined_at, raised_at
from tests.unit.model.test_signatures import injects, plain


def raised(function, *args):
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any one
        function(*args)
    return caught.value


@pytest.fixture
def model(tmp_path, monkeypatch):
    """Write a model's file, with a second one beside it; return the file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "beside.py").write_text("def fail(error):\n    raise error\n")
    path = tmp_path / "net.py"
    yield path
    sys.modules.pop("beside", None)


def test_the_last_line_of_the_models_own_code(model, monkeypatch):
    model.write_text("import beside\n\nbeside.fail(ValueError('no'))\n")
    error = raised(runpy.run_path, str(model))
    assert raised_at(error, str(model)) == " (beside.py, line 2)"
    assert raised_at(error, f"{model}:Class") == " (beside.py, line 2)"
    (model.parent / "other").mkdir()
    monkeypatch.chdir(model.parent / "other")
    assert raised_at(error, str(model)) == f" ({model.parent}/beside.py, line 2)"


def test_a_line_of_a_library_is_not_the_models(model):
    model.write_text("import json\njson.loads('{')\n")
    error = raised(runpy.run_path, str(model))
    assert raised_at(error, str(model)) == " (net.py, line 2)"


def test_a_package_that_is_installed(model, monkeypatch):
    folder = model.parent / "site-packages"
    package = folder / "net_of_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import absent_of_test\n")
    monkeypatch.syspath_prepend(str(folder))
    error = raised(importlib.import_module, "net_of_test")
    place = " (site-packages/net_of_test/__init__.py, line 1)"
    assert raised_at(error, "net_of_test.api:Model") == place
    assert "site-packages" not in raised_at(error, "other")


def test_errors_without_a_place(model):
    model.write_text("x = = 1\n")
    assert raised_at(raised(runpy.run_path, str(model)), str(model)) == ""
    assert raised_at(ValueError("never raised"), "m") == ""


def test_where_a_function_is_defined():
    place = "tests/unit/model/test_signatures.py, line "
    assert place in defined_at(plain)
    assert defined_at(injects(plain)) == defined_at(plain)
    for odd in (print, 7, None, type("Odd", (), {"__call__": None})()):
        assert defined_at(odd) == ""
    namespace = {}
    exec("def made(): pass", namespace)
    assert defined_at(namespace["made"]) == ""
