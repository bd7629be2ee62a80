"""Captured requests of clients of Triton and MLServer, sent to our server."""

import json

import pytest

from tests.inference import (
    ENVIRONMENT,
    OPTIONS,
    SERVERS,
    exchanges,
    fault,
    numbers,
    replay,
)

ALL = [exchange for server in SERVERS for exchange in exchanges(server)]

DIFFERENT = {
    # Section 3 of the design says what ours answer in these cases.
    "triton": {
        "server-metadata-slash": 200,
        "infer-bad-shape": 400,
        "infer-no-inputs": 400,
        "infer-bad-json": 400,
        "probe-string-data": 200,
        "probe-null": 400,
        "models-list": 200,
        "infer-trailing-slash": 200,
        "wrong-dtype": 200,  # the field decides on numbers of another datatype
        "nan-json": 400,
        "repository-index": 200,
        "tc-repository-index": 200,
        "tc-infer-gzip": 200,  # Triton's model takes 16 rows, ours more
    },
    "mlserver": {
        "server-metadata-slash": 200,
        "infer-bad-shape": 400,
        "infer-trailing-slash": 200,
        "models-list": 200,
        "tc-infer-binary": 200,
        "tc-infer-binary-in-json-out": 200,
        "tc-probe-bytes-binary": 200,
        "tc-probe-file-binary": 200,
        "tc-repository-index": 200,
        "tc-bad-shape": 400,
        "sdk-infer-binary": 200,
        "sdk-infer-binary-out": 200,
        "sdk-infer-all-binary-out": 200,
    },
}
"""Statuses of ours that are of another class than the captured ones."""

KINDS = ("application/json", "application/octet-stream")


@pytest.fixture(scope="module")
def ports(serve_module):
    return {
        name: serve_module(*OPTIONS, env=ENVIRONMENT[name], errors_expected=True).port
        for name in SERVERS
    }


@pytest.mark.parametrize("exchange", ALL, ids=lambda exchange: exchange.id)
def test_a_captured_request_is_answered_like_there(ports, exchange):
    theirs, ours = exchange.answer, replay(exchange, ports[exchange.server])

    expected = DIFFERENT[exchange.server].get(exchange.name, theirs.status)
    assert ours.status // 100 == expected // 100, ours.body
    assert not fault(ours, theirs)
    assert ours.headers["content-type"].startswith(KINDS)
    if ours.status == theirs.status == 200 and theirs.body:
        _compare(exchange, ours.json())


def _compare(exchange, value):
    try:
        expected = exchange.answer.json()
    except ValueError:
        return  # Triton's JSON of bytes that are not UTF-8
    if isinstance(expected, list):
        assert {"name", "state"} <= set(value[0])
        return
    assert set(expected) - set(value) <= {"parameters"}
    if "digits" not in exchange.line:
        return
    if "infer" in exchange.line:
        kept = ("name", "shape", "datatype")
        (output,), (other,) = value["outputs"], expected["outputs"]
        assert [output[key] for key in kept] == [other[key] for key in kept]
        if exchange.server == "triton":  # MLServer sends no bytes
            assert ("data" in output) == ("data" in other)
    else:
        assert [one["name"] for one in value["inputs"]] == ["x"]
        (output,) = value["outputs"]
        assert output == {"name": "predict", "datatype": "INT64", "shape": [-1, 1]}


def test_values_are_those_that_triton_answered(ports):
    checked = 0
    for exchange in exchanges("triton"):
        if exchange.answer.status == 200 and "digits/" in exchange.line:
            try:
                expected = numbers(exchange.answer)
            except ValueError:
                continue
            if expected is not None:
                ours = replay(exchange, ports["triton"])
                assert json.dumps(numbers(ours)) == json.dumps(expected)
                checked += 1
    assert checked > 10
