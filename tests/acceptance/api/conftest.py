"""Models and tokens of several modules, and forms as clients write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.server import MODELS, prediction

ECHO = f"--model=echo={MODELS / 'echo.py'}"
UPLOAD = f"--model=upload={MODELS / 'upload.py'}"
PREDICT = "/v2/models/echo/predict/"
SHA256_OF_X = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def tokens(tmp_path) -> Path:
    path = tmp_path / "tokens"
    lines = "first-secret\n\n  zweites-Geheimnis-ü  \n"
    path.write_text(lines, encoding="utf-8-sig")  # as some editors write it
    return path


SENT = "/v2/models/sent/predict"
BACK = "/v2/models/gives_back/predict"
BOUNDARY = "limit"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
DEFAULT = {"threshold": "0.5"}


def form(*parts):
    """Parts of a disposition, more headers, and content."""
    pieces = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n".encode()
        + "".join(f"{header}\r\n" for header in headers).encode()
        + b"\r\n"
        + content
        + b"\r\n"
        for disposition, headers, content in parts
    ]
    return {
        "content": b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode(),
        "headers": MULTIPART,
    }


def sent(answer):
    """Return the values that reached the model, without the default one."""
    assert answer.status_code == 200, answer.text
    values = prediction(answer)
    assert values.pop("threshold") == "0.5"
    return values
