"""Undo after each test what it did in its own process."""

import sys

import pytest


@pytest.fixture(autouse=True)
def same_import_path(monkeypatch):
    """A model that is loaded in this process may add its folder to the import path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
