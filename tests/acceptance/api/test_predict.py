"""The answers for every value that predict may return, and every error."""

import datetime
import hashlib
import random
import time

import psutil
import pytest

from tests.conftest import Serve
from tests.server import MODELS, prediction, wait_until

SOURCE = (MODELS / "returns.py").read_bytes()
RETURNS = "/v2/models/returns/predict"
FAILING = "/v2/models/failing/predict"
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    returns = f"returns={MODELS / 'returns.py'}"
    return serve_module("--model", returns, errors_expected=True)


@pytest.fixture(scope="module")
def raw(serve_module: Serve):
    returns = f"returns={MODELS / 'returns.py'}"
    return serve_module("--model", returns, "--raw-predictions", errors_expected=True)


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("dict", {"a": [1, 2.5, None, True]}),
        ("str", "text"),
        ("none", None),
        ("number", 3),
        ("array", [0, 1, 2]),
        ("scalar", 0.5),
        ("numpy", {"f": 1.0, "i": 2, "b": True}),
        ("matrix", {"m": [[1.0], [1.0]], "o": [1, "a"]}),
        ("nan", {"a": None, "b": [None], "c": [None]}),
        ("dates", [WHEN.isoformat(), "2026-01-02", "03:04:05"]),
        (
            "odd",
            [
                "00000000-0000-0000-0000-000000000001",
                "1.50",
                "red",
                {"x": 1, "y": 2},
            ],
        ),
        ("set", {"tuple": [1, 2], "set": [7]}),
        ("keys", {"1": "a", "2": None, "[3, 4]": 2**70}),
    ],
)
def test_values(raw, server, what, value):
    answer = raw.post(RETURNS, params={"what": what})
    assert answer.headers["Content-Type"] == "application/json"
    assert prediction(answer) == value
    wrapped = server.post(RETURNS, params={"what": what})
    json_text = answer.text.removeprefix('{"status":"OK","predictions":')[:-1]
    text = value if isinstance(value, str) else json_text
    assert wrapped.json() == {"status": "OK", "predictions": text}


FILES = {
    "bytes": (b"\x00\xff", None),
    "memoryview": (b"view", None),
    "BytesIO": (b"456789", None),
    "StringIO": ("café".encode(), None),
    "open": (SOURCE, "returns.py"),
    "unbuffered": (SOURCE, "returns.py"),
    "path": (SOURCE, "returns.py"),
    "temporary": (b"x" * 10, "*.bin"),
    "kept": (b"x" * 10, "*.bin"),
    "large": (b"x" * 3_000_000, "*.bin"),
    "large kept": (b"x" * 3_000_000, "*.bin"),
    "large path": (b"x" * 3_000_000, "*.bin"),
    "large bytes": (b"x" * 3_000_000, None),
    "reopened": (b"x" * 10, "*.bin"),
    "in folder": (b"gone", "a.txt"),
    "zipped": (b"inside", "*.bin"),
}


@pytest.mark.parametrize("what", FILES)
def test_files(server, what):
    content, name = FILES[what]
    plain = {"Accept-Encoding": "identity"}
    answer = server.post(RETURNS, params={"what": what}, headers=plain)
    assert answer.status_code == 200
    assert answer.content == content
    assert int(answer.headers["Content-Length"]) == len(content)
    kind = answer.headers["Content-Type"]
    assert kind == {"returns.py": "text/x-python", "a.txt": "text/plain"}.get(
        name or "", "application/octet-stream"
    )
    disposition = answer.headers.get("Content-Disposition")
    if name is None:
        assert disposition is None
    else:
        assert disposition is not None
        assert disposition.endswith(f'{name.removeprefix("*")}"')
    chosen = server.post(RETURNS, params={"what": what}, headers={"Accept": "a/b"})
    assert chosen.headers["Content-Type"] == "a/b"
    assert chosen.content == content
    # files elsewhere are left alone
    assert (MODELS / "returns.py").read_bytes() == SOURCE
    # a file is deleted after its last byte, which is when the caller goes on
    wait_until(lambda: list(server.temporary.iterdir()) == [])


def test_a_huge_answer_is_whole(server):
    answer = server.post(RETURNS, params={"what": "huge bytes"})
    assert answer.status_code == 200
    assert answer.headers["Content-Length"] == str(100 * 2**20)
    content = random.Random(0).randbytes(100 * 2**20)
    assert sha256(answer.content) == sha256(content)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def test_a_file_with_a_name_and_a_type_of_its_own(server):
    answer = server.post(RETURNS, params={"what": "returned"})
    assert answer.content == SOURCE
    assert answer.headers["Content-Type"] == "text/x-python"
    assert answer.headers["Content-Disposition"] == (
        "inline; filename=\"caf?.py\"; filename*=UTF-8''caf%C3%A9.py"
    )


def test_another_type_than_json(server):
    csv = {"Accept": "text/csv"}
    text = server.post(RETURNS, params={"what": "str"}, headers=csv)
    assert text.text == "text"
    assert text.headers["Content-Type"] == "text/csv; charset=utf-8"
    nothing = server.post(RETURNS, params={"what": "none"}, headers=csv)
    assert nothing.content == b""
    wrong = server.post(RETURNS, params={"what": "dict"}, headers=csv)
    assert wrong.status_code == 500
    message = "TypeError: the model returned a dict for text/csv"
    assert wrong.json() == {"message": message}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no form", ["object", "a[1].b"]),
        ("folder", ["IsADirectoryError"]),
        ("missing", ["FileNotFoundError"]),
    ],
)
def test_what_cannot_be_sent(server, what, words):
    answer = server.post(RETURNS, params={"what": what})
    assert answer.status_code == 500
    assert all(word in answer.json()["message"] for word in words)


COPIED = "/v2/models/copied/predict"


@pytest.mark.parametrize("named", [False, True])
def test_a_copy_that_fails_is_gone(serve: Serve, named):
    server = serve(f"--model=copied={MODELS / 'copied.py'}", errors_expected=True)
    params = {"how": "whole", "named": named}
    assert server.post(COPIED, params=params).content == bytes(19_000_000)
    wait_until(lambda: list(server.temporary.iterdir()) == [])
    answer = server.post(COPIED, params={**params, "how": "raises"})
    assert answer.status_code == 500
    assert answer.json() == {"message": "ValueError: half of it"}
    assert list(server.temporary.iterdir()) == []
    [worker] = server.workers()
    limit = (5_000_000, psutil.RLIM_INFINITY)
    psutil.Process(worker).rlimit(psutil.RLIMIT_FSIZE, limit)
    answer = server.post(COPIED, params=params)
    assert answer.status_code == 507
    assert answer.json() == {"message": "There is no space on the server's disk."}
    assert list(server.temporary.iterdir()) == []


def test_a_copy_that_takes_too_long_is_gone(serve: Serve):
    server = serve(f"--model=copied={MODELS / 'copied.py'}", "--predict-timeout=1")
    answer = server.post(COPIED, params={"how": "waits"})
    assert answer.status_code == 504
    wait_until(lambda: list(server.temporary.iterdir()) == [])


def test_a_text_with_half_a_character(server):
    answer = server.post(
        RETURNS, params={"what": "surrogate"}, headers={"Accept": "text/plain"}
    )
    assert answer.status_code == 200
    assert answer.text == "half ?"


def test_an_answer_that_does_not_fit_the_schema(serve: Serve):
    server = serve("--model", f"m={MODELS / 'unfit.py'}", errors_expected=True)
    answer = server.post("/v2/models/m/predict")
    assert answer.status_code == 500
    message = answer.json()["message"]
    assert '"label":["Missing data for required field."]' in message
    assert '"probability":["Not a valid number."]' in message


def test_a_coroutine(serve: Serve):
    server = serve("--model", f"m={MODELS / 'coroutine.py'}", "--raw-predictions")
    answers = [prediction(server.post("/v2/models/m/predict")) for _ in range(3)]
    assert answers == [1, 2, 3]


@pytest.fixture(scope="module")
def failing(serve_module: Serve):
    return serve_module(
        "--model", f"failing={MODELS / 'failing.py'}", errors_expected=True
    )


@pytest.mark.parametrize(
    ("how", "status", "message"),
    [
        ("str", 400, "x"),
        ("exception", 400, "x"),
        ("newline", 400, "x\ny"),
        ("text", 404, "long story"),
        ("not implemented", 501, "The model does not implement this."),
        ("value", 500, "ValueError: the text"),
        ("two arguments", 500, "TwoArgumentsError: 7: seven"),
        (
            "unprintable",
            500,
            "UnprintableError: (its text cannot be shown: RuntimeError)",
        ),
        ("cancelled", 500, "CancelledError"),
        ("interrupt", 500, "KeyboardInterrupt"),
        ("own status", 499, "mine"),
        ("no such way", 500, "KeyError: 'no such way'"),
    ],
)
def test_what_a_model_raises(failing, how, status, message):
    headers = {"X-Request-ID": "raised"}
    answer = failing.post(FAILING, params={"how": how}, headers=headers)
    assert answer.status_code == status
    assert answer.json() == {"message": message}
    assert answer.headers["X-Request-ID"] == "raised"


@pytest.mark.parametrize(
    ("how", "status"), [("no content", 204), ("not modified", 304)]
)
def test_a_status_without_a_body_is_raised(failing, how, status):
    before = failing.workers()
    answer = failing.post(FAILING, params={"how": how})
    assert answer.status_code == status
    assert answer.content == b""
    again = failing.post(FAILING, params={"how": "nothing"})  # by the same connection
    assert again.json()["predictions"] == "alive"
    assert failing.workers() == before


def test_the_traceback_is_in_the_log_only(failing):
    answer = failing.post(FAILING, params={"how": "value"})
    assert "Traceback" not in answer.text
    failing.wait_for_output(r"failing\.py.*in <lambda>")


@pytest.mark.parametrize(
    ("how", "of"),
    [
        ("sys.exit", "exit code 3"),
        ("os._exit", "exit code 1"),
        ("leaves a child", "exit code 3"),
        ("leaves a fork", "exit code 3"),
        ("SIGSEGV", "SIGSEGV"),
        ("SIGKILL", "SIGKILL"),
    ],
)
def test_a_worker_that_dies(failing, how, of):
    before = failing.workers()
    asked = time.monotonic()
    answer = failing.post(FAILING, params={"how": how})
    assert time.monotonic() - asked < 10  # what it leaves lives for 40 s
    assert answer.status_code == 500
    assert "The worker died" in answer.json()["message"]
    assert of in answer.json()["message"]
    again = failing.post(FAILING, params={"how": "nothing"})
    assert again.json()["predictions"] == "alive"
    assert set(failing.workers()).isdisjoint(before)
