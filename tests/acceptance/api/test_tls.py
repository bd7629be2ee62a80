"""TLS: certificates, and those of clients."""

from __future__ import annotations

import ssl

import httpx
import pytest
import trustme

from tests.acceptance.api.conftest import ECHO, PREDICT
from tests.conftest import Serve


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def test_https(serve: Serve, authority, tmp_path):
    issued = authority.issue_cert("127.0.0.1")
    cert, key, root = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    authority.cert_pem.write_to_path(root)
    server = serve(ECHO, "--tls-cert", cert, "--tls-key", key)
    assert server.url.startswith("https://")
    context = ssl.create_default_context(cafile=root)
    with httpx.Client(base_url=server.url, verify=context, trust_env=False) as client:
        assert client.post(PREDICT, params={"n": 3}).json() == {"n": 3}
    with pytest.raises(httpx.TransportError):
        server.get("/v2/")
    with pytest.raises(httpx.TransportError):
        httpx.get(server.url.replace("https", "http"), trust_env=False)


def test_certificates_that_cannot_be_used(fail_to_start, authority, tmp_path):
    cert, other, bad = (tmp_path / n for n in ("cert.pem", "other.pem", "bad.pem"))
    authority.issue_cert("127.0.0.1").cert_chain_pems[0].write_to_path(cert)
    authority.issue_cert("127.0.0.1").private_key_pem.write_to_path(other)
    bad.write_text("nonsense")
    for options in (
        ("--tls-cert", tmp_path / "none"),
        ("--tls-cert", bad, "--tls-key", other),
        ("--tls-cert", cert, "--tls-key", other),
        ("--tls-cert", cert, "--tls-key", bad),
        ("--tls-cert", cert),
        ("--tls-key", other),
    ):
        ended = fail_to_start(ECHO, *options)
        assert ended.code == 1
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert "tls" in ended.stderr.lower()
