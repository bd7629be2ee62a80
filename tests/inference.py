"""Replays captured exchanges of the Open Inference Protocol, and compares the answers.

    python -m tests.inference

prints a table: for each request the answers of Triton and of MLServer, as they were
captured, and ours. It ends with 1 if ours is a server error, is no JSON, lacks the key
`error` or has another value where one of them answers rightly.
"""

from __future__ import annotations

import gzip
import json
import re
import socket
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.server import MODELS, ROOT, Server

CAPTURES = ROOT / "tests" / "captures"
SERVERS = ("triton", "mlserver")
ANSWER_TIMEOUT = 30

_UNPACK = {"gzip": gzip.decompress, "deflate": zlib.decompress}
_TRITON_TIMEOUT = re.compile(rb'"timeout":1000,')

OPTIONS = (
    *("--model", f"digits={MODELS / 'oip_digits.py'}"),
    *("--model", f"probe={MODELS / 'oip_probe.py'}"),
    *("--model", f"fail={MODELS / 'oip_fail.py'}"),
)
ENVIRONMENT = {
    "triton": {"DIGITS_VERSION": "1", "PROBE": "triton"},
    "mlserver": {"DIGITS_VERSION": "v1", "PROBE": "mlserver"},
}


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """Without its content coding."""

    @property
    def length(self) -> int:
        """The bytes of its JSON."""
        given = self.headers.get("inference-header-content-length")
        return len(self.body) if given is None else int(given)

    def json(self) -> Any:
        """The JSON before the bytes of tensors; raises ValueError if there is none."""
        return json.loads(self.body[: self.length])

    def shown(self) -> str:
        """A few words for a table."""
        try:
            value = self.json()
        except ValueError:
            kind = self.headers.get("content-type", "").partition(";")[0]
            return f"{self.status} {kind or 'empty'}" if self.body else f"{self.status}"
        keys = ", ".join(value) if isinstance(value, dict) else "list"
        return f"{self.status} {{{keys if self.status >= 400 else 'JSON'}}}"


@dataclass(frozen=True)
class Exchange:
    """A captured request with its answer."""

    server: str
    number: str
    name: str
    request: bytes
    answer: Answer

    @property
    def id(self) -> str:
        return f"{self.server}-{self.number}-{self.name}"

    @property
    def line(self) -> str:
        """The method and the path."""
        return self.request.partition(b" HTTP/")[0].decode()


def exchanges(server: str) -> Iterator[Exchange]:
    """The captured exchanges of a server, in their order."""
    for file in sorted((CAPTURES / server).glob("*.request")):
        _, number, name = file.stem.split("-", 2)
        answer = parse(file.with_suffix(".response").read_bytes())
        yield Exchange(server, number, name, file.read_bytes(), answer)


def parse(data: bytes) -> Answer:
    """Read an answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in lines)
    }
    unpack = _UNPACK.get(headers.get("content-encoding", ""))
    if unpack is not None and body:
        body = unpack(body)
    return Answer(int(first.split()[1]), headers, body)


def replay(exchange: Exchange, port: int) -> Answer:
    """Send a captured request to a server of ours, for another host."""
    head, _, body = exchange.request.partition(b"\r\n\r\n")
    lines = [
        line
        for line in head.split(b"\r\n")
        if not line.lower().startswith((b"host:", b"connection:", b"content-length:"))
    ]
    # Triton has this limit for the queue only, and by default not even there. Ours
    # would be kept: a millisecond may be too short for any server.
    body = _TRITON_TIMEOUT.sub(b'"timeout":9000000,', body)
    lines += [f"Host: 127.0.0.1:{port}".encode(), b"Connection: close"]
    if body or exchange.request.startswith(b"POST"):
        lines.append(f"Content-Length: {len(body)}".encode())
    with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        pieces = []
        while piece := connection.recv(65536):
            pieces.append(piece)
    return parse(b"".join(pieces))


def numbers(answer: Answer) -> list[Any] | None:
    """The elements of the output `predict` of a model `digits`; None if it has none."""
    value = answer.json()
    outputs = value.get("outputs") or [{}] if isinstance(value, dict) else [{}]
    if outputs[0].get("name") != "predict":
        return None
    if "data" in outputs[0]:
        return list(outputs[0]["data"])
    return list(memoryview(answer.body[answer.length :]).cast("q"))


def fault(ours: Answer, theirs: Answer) -> str:
    """The fault of our answer beside another one; empty for none."""
    try:
        value = ours.json()
    except ValueError:
        return "not JSON"
    if ours.status >= 400 and "error" not in value:
        return "no error"
    if theirs.status >= 300:
        # A failing model is a 500 everywhere; nothing else is.
        return ""
    if ours.status >= 400:
        return f"{ours.status} for {theirs.status}"
    if not theirs.body or "json" not in theirs.headers.get("content-type", "json"):
        expected = None if not theirs.body else numbers(theirs)
    else:
        try:
            expected = numbers(theirs)
        except ValueError:  # Triton's JSON is not always UTF-8
            expected = None
    if expected is not None and numbers(ours) != expected:
        return "another value"
    return ""


def main() -> int:
    faults = 0
    rows: dict[str, dict[str, str]] = {}
    for server in SERVERS:
        with tempfile.TemporaryDirectory() as folder:
            ours = Server(
                *OPTIONS,
                directory=Path(folder),
                env=ENVIRONMENT[server],
                errors_expected=True,
            )
            try:
                for exchange in exchanges(server):
                    answer = replay(exchange, ours.port)
                    wrong = fault(answer, exchange.answer)
                    row = rows.setdefault(exchange.name, {"request": exchange.line})
                    row[server] = exchange.answer.shown()
                    row["ours"] = answer.shown()
                    if wrong:
                        row["fault"] = f"{row.get('fault', '')} {server}: {wrong}"
                        faults += 1
            finally:
                print(*ours.close(), file=sys.stderr)
    print(f"| exchange | request | {' | '.join(SERVERS)} | ours | fault |")
    print("|---|---|---|---|---|---|")
    for name, row in rows.items():
        cells = [row.get(key, "") for key in ("request", *SERVERS, "ours", "fault")]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{len(rows)} requests, {faults} faults")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
