"""What tests do in their own process, is undone after each."""

import sys

import pytest


@pytest.fixture(autouse=True)
def same_import_path(monkeypatch):
    """A model that is loaded in this process may add its folder to the import path."""
    monkeypatch.setattr(sys, "path", [*sys.path])
