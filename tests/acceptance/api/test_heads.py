"""Slow clients, and heads that cannot be read."""

from __future__ import annotations

import json
import re
import socket
import subprocess

import pytest

from tests.acceptance.api.conftest import ECHO, PREDICT, UPLOAD, bearer
from tests.conftest import Serve
from tests.server import Server


def test_many_slow_clients(serve: Serve):
    """Idle clients hold connections, and nothing else."""
    server = serve(ECHO)
    address = ("127.0.0.1", server.port)
    slow = [socket.create_connection(address) for _ in range(500)]
    try:
        for text in (b"P", b"O", b"S", b"T", b" "):
            for connection in slow:
                connection.sendall(text)
            assert server.post(PREDICT, params={"n": 1}).json() == {"n": 1}
    finally:
        for connection in slow:
            connection.close()


def _send(server: Server, text: bytes) -> tuple[dict[str, str], bytes]:
    """Send bytes; return the head and the body of the answer."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(text)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    headers = dict(field.lower().split(": ", 1) for field in fields)
    return {**headers, "status": first.split()[1]}, body


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer SECRET\rX\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"SECRET" * 2000 + b"\r\n\r\n",
        b"GET /?token=SECRET" + b"x" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /?token=SECRET more HTTP/1.1\r\n\r\n",
        b"SECRET\x00 / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: SECRET\r\n" * 200 + b"\r\n",
    ],
)
def test_a_head_that_cannot_be_read(serve: Serve, head):
    """The answer and the log do not quote the head."""
    server = serve(ECHO, "--debug", "--debug-endpoint")
    headers, body = _send(server, head)
    assert headers["status"] == "400"
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"message": "The request cannot be read."}
    request_id = headers["x-request-id"]
    server.wait_for_output(f'aiohttp.access .*127.0.0.1 {request_id} "UNKNOWN /" 400 ')
    metrics = server.get("/metrics").text
    assert 'requests_total{method="other",route="unknown",status="400"} 1.0' in metrics
    assert "SECRET" not in server.output + body.decode() + server.get("/v2/debug").text


def test_a_body_that_cannot_be_read(serve: Serve):
    server = serve(ECHO, "--debug")
    fields = "POST /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    headers, _ = _send(server, fields.encode() + b"SECRET\r\n")
    assert headers["status"] in ("400", "404")
    assert server.get("/v2/").status_code == 200
    assert "SECRET" not in server.output


def test_an_unsupported_expectation(serve: Serve):
    server = serve(ECHO)
    for path in ("/v2/", "/no/such/place"):
        answer = server.get(path, headers={"Expect": "foo", "X-Request-ID": "mine"})
        assert answer.status_code == 417
        assert answer.json() == {"message": "Expectation Failed"}
        assert answer.headers["X-Request-ID"] == "mine"


def test_a_body_is_asked_for_of_whom_is_let_in(serve: Serve, tokens):
    server = serve(UPLOAD, "--auth-token-file", tokens)
    url = f"{server.url}/v2/models/upload/predict/"
    big = tokens.with_name("big")
    big.write_bytes(b"x" * (2 << 20))

    def upload(*more: str) -> list[str]:
        command = ["curl", "-sv", "--noproxy", "*", "-F", f"data=@{big}", url, *more]
        command += ["--expect100-timeout", "20"]  # it sends the body after that
        done = subprocess.run(command, capture_output=True, timeout=30, check=True)
        seen = done.stderr.decode(errors="replace")
        return re.findall(r"< HTTP/1.1 (\d+)", seen)

    expect = ("-H", "Expect: 100-continue")
    assert upload(*expect) == ["401"]
    assert upload(*expect, "-H", "Authorization: Bearer first-secret") == ["100", "200"]
    odd = {"Expect": "foo"}
    assert server.get("/v2/", headers=odd).status_code == 401
    assert server.get("/v2/health/live", headers=odd).status_code == 417
    assert server.get("/v2/", headers=odd | bearer("first-secret")).status_code == 417
