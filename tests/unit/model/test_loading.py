"""The choice of the models that are served."""

import pytest

from deepaas.errors import StartError
from deepaas.model.loading import find_models
from tests.server import MODELS

ECHO = f"echo={MODELS / 'echo.py'}"


def names(*args):
    return [ref.name for ref in find_models(*args)]


def test_only_the_named_models_are_served():
    installed = names()
    assert "digits" in installed
    assert names([], [ECHO]) == ["echo"]
    assert names(["digits"], [ECHO]) == ["digits", "echo"]
    assert names(["echo"], [ECHO]) == ["echo"]
    assert names(["digits"]) == ["digits"]


def test_a_model_may_have_the_name_of_an_installed_one():
    (ref,) = find_models([], [f"digits={MODELS / 'echo.py'}"])
    assert ref.target == str(MODELS / "echo.py")


def test_two_targets_of_one_name():
    with pytest.raises(StartError, match="Two models are named 'echo'"):
        find_models([], [ECHO, "echo=other.module"])
    assert names([], [ECHO, ECHO]) == ["echo"]
