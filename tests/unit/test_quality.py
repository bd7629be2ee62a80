"""Headers that list choices: their parser, and the choice."""

import pytest

from deepaas.api.content_coding import gzip_weights
from deepaas.media_types import weighted


@pytest.mark.parametrize(
    ("header", "members"),
    [
        ("", []),
        (" , ,", []),
        ("gzip", [("gzip", 1)]),
        ("gzip;q=0.5, *;q=0", [("gzip", 0.5), ("*", 0)]),
        ("a ; Q = 0.25 , b", [("a", 0.25), ("b", 1)]),
        ("a;q=x, b;q=2, c;q=-1, d;q=nan, e;q=", [(name, 1) for name in "abcde"]),
        ('a/b; c="x, y"; q=0.5, d/e', [('a/b; c="x, y"', 0.5), ("d/e", 1)]),
        ('a/b;c="\\", d";q=0', [('a/b;c="\\", d"', 0)]),
        ('a, "b, c', [("a", 1), ('"b, c', 1)]),
        ("a/b;c=d;q=0.5;e=f", [("a/b;c=d", 0.5)]),
    ],
)
def test_members_and_weights(header, members):
    assert list(weighted(header)) == members


@pytest.mark.parametrize(
    ("header", "gzip", "plain"),
    [
        ("", False, True),
        ("gzip", True, True),
        ("x-gzip", True, True),
        ("*", True, True),
        ("*;q=0, gzip", True, False),
        ("gzip, *;q=0", True, False),
        ("gzip;q=0, *", False, True),
        ("*, gzip;q=0", False, True),
        ("identity;q=0", False, False),
        ("*;q=0, identity", False, True),
        ("deflate, br;q=0.5", False, True),
        ("GZIP;Q=0.001", True, True),
    ],
)
def test_what_is_acceptable(header, gzip, plain):
    weights = gzip_weights(header)
    assert tuple(weight > 0 for weight in weights) == (gzip, plain)


def test_gzip_goes_before_nothing_unless_the_caller_prefers_that():
    for header in ("gzip;q=0.001", "*", "gzip, identity", "*;q=0.5"):
        gzip, plain = gzip_weights(header)
        assert gzip >= plain
    gzip, plain = gzip_weights("gzip;q=0.5, identity")
    assert gzip < plain


def test_a_long_header_takes_no_long_time():
    for text in ('"', '"\\', ";", " ", ",", ';q="', "; "):
        list(weighted(text * (100_000 // len(text))))
