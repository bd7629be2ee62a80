"""Keeps the unit tests what they are: no process is started in them."""

import subprocess

import pytest


@pytest.fixture(autouse=True)
def no_process(monkeypatch):
    def refuse(*args, **options):
        pytest.fail("a unit test starts no process: move it to tests/integration")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
