"""A worker's start does not depend on later changes of the server's process."""

import os
import sys

from deepaas.executors.messages import Envelope
from deepaas.executors.process import Launch
from deepaas.model.loading import ModelRef

REF = ModelRef("m", "some.module")


def launch():
    return Launch.from_this_process(REF, warm=True, envelope=Envelope.TEXT)


def test_it_is_made_once(monkeypatch, tmp_path):
    before = os.getcwd()
    monkeypatch.setenv("BEFORE", "1")
    made = launch()
    monkeypatch.setenv("AFTER", "1")
    monkeypatch.delenv("BEFORE")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["other"])
    monkeypatch.chdir(tmp_path)
    assert made.environment["BEFORE"] == "1"
    assert "AFTER" not in made.environment
    assert made.existing_folder() == before
    assert made.start.argv != ["other"]
    assert str(tmp_path) not in made.path
    assert repr(made.path) in made.command((3, 4, 5))[2]


def test_a_folder_that_is_removed_later_is_inherited(monkeypatch, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    made = launch()
    assert made.existing_folder() == str(folder)
    folder.rmdir()
    assert made.existing_folder() is None


def test_a_folder_that_was_removed_before_is_inherited(monkeypatch, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert launch().existing_folder() is None


def test_the_descriptors_are_arguments():
    assert launch().command((3, 4, 5))[3:] == ["3", "4", "5"]
