"""Misspelt names, and where a name came from."""

import pickle

import pytest

from deepaas.naming import Sourced, did_you_mean, nearest, source_of


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("listn-port", "listen_port"),
        ("LISTEN-PORT", "listen_port"),
        ("listenport", "listen_port"),
        ("xyzzy", None),
        ("", None),
    ],
)
def test_the_nearest_name(name, found):
    assert nearest(name, ["listen_port", "listen_ip", "workers"]) == found


def test_words():
    assert did_you_mean("wrkers", ["workers"]) == "; did you mean workers?"
    assert did_you_mean("x", ["workers"]) == ""


def test_a_text_with_a_source():
    name = Sourced("echo", "DEEPAAS_V2_MODEL")
    assert name == "echo"
    assert source_of(name, "") == "DEEPAAS_V2_MODEL"
    assert source_of("echo", "--model-name") == "--model-name"
    assert type(pickle.loads(pickle.dumps(name))) is str
