"""The form and the compression of answers."""

import json

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from deepaas.api.content_coding import compress
from deepaas.api.context import CONTEXT, RequestContext, prefix
from deepaas.api.paths import relative
from deepaas.api.responses import json_response

LONG_TEXT = "x" * 2000


def request(**headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    made = make_mocked_request("GET", "/v2/", headers=names)
    made[CONTEXT] = RequestContext("r")
    return made


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("*", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=0", False),
        ("identity, gzip;q=0.5", False),
        ("br", False),
        ("", False),
    ],
)
def test_what_the_caller_takes(accepted, compressed):
    answer = compress(request(Accept_Encoding=accepted), json_response(LONG_TEXT))
    assert answer.compression is compressed
    assert answer.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    ("media_type", "size", "compressed"),
    [
        ("text/csv", 2000, True),
        ("application/x+json", 2000, True),
        ("application/json", 1000, False),
        ("image/png", 2000, False),
    ],
)
def test_what_is_worth_compressing(media_type, size, compressed):
    answer = web.Response(body=b"x" * size, content_type=media_type)
    assert compress(request(Accept_Encoding="gzip"), answer).compression is compressed


def test_a_caller_who_refuses_it_as_it_is_gets_it_compressed():
    answer = web.Response(body=b"x", content_type="image/png")
    accepted = request(Accept_Encoding="gzip, identity;q=0")
    assert compress(accepted, answer).compression


def test_a_json_response():
    answer = json_response({"a": {1}, "n": float("nan")}, status=201)
    assert json.loads(answer.body) == {"a": [1], "n": None}
    assert (answer.status, answer.content_type) == (201, "application/json")


def test_the_prefix_is_empty_without_a_proxy():
    assert prefix(request()) == ""


@pytest.mark.parametrize(
    ("path", "reference"),
    [
        ("/v2/models/m/predict/", "abc"),
        ("/v2/models/m/predict", "predict/abc"),
        ("/v2/models/m/predict?a=b/", "predict/abc"),
        ("/a%2Fb", "a%2Fb/abc"),
    ],
)
def test_references_are_relative_to_the_address_of_the_request(path, reference):
    assert relative(make_mocked_request("POST", path), "abc") == reference
