"""Fails a unit test that starts a process."""

import subprocess

import pytest


@pytest.fixture(autouse=True)
def no_process(monkeypatch):
    def refuse(*args, **options):
        pytest.fail("a unit test starts no process: move it to tests/integration")

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
