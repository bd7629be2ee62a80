"""Find the files of a model that --reload watches."""

import os

from deepaas.model.loading import ModelRef
from deepaas.reloading import Watched, watched_files


def test_a_package(tmp_path, monkeypatch):
    package = tmp_path / "watched_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('it is not imported')")
    found = watched_files(ModelRef("m", "watched_package.api:Class", str(tmp_path)))
    assert found == Watched([package], True)


def test_a_file_and_the_packages_beside_it(tmp_path):
    for folder in ("helpers", "helpers/inner", "data", ".venv/lib/x"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in ("helpers", "helpers/inner", ".venv/lib/x"):
        (tmp_path / folder / "__init__.py").touch()
    found = watched_files(ModelRef("m", f"{tmp_path / 'model.py'}:model"))
    helpers = tmp_path / "helpers"
    assert found == Watched([tmp_path, helpers, helpers / "inner"], False)
    assert found.counts(str(tmp_path / "model.py"))


def test_a_module_among_installed_ones(tmp_path, monkeypatch):
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "watched_module.py").touch()
    monkeypatch.syspath_prepend(folder)
    found = watched_files(ModelRef("m", "watched_module"))
    assert found is not None
    assert found.counts(str(folder / "watched_module.py"))
    assert not found.counts(os.path.join(folder, "other.py"))


def test_a_module_that_there_is_not():
    assert watched_files(ModelRef("m", "no_such_module_anywhere")) is None
    assert watched_files(ModelRef("m", "sys")) is None
