"""JSON over 1 MiB, which the server does not parse."""

import gzip
import json
import threading
import time

import httpx
import psutil
import pytest

from tests.conftest import Serve
from tests.server import MODELS, Server, prediction, wait_until

NUMBERS = f"--model=numbers={MODELS}/many_numbers.py"
MIB = 1024 * 1024
PREDICT = "/v2/models/numbers/predict/"
OWN = "/v2/models/own_code/predict/"
TRAIN = "/v2/models/numbers/train/"
HEAD = {"Content-Type": "application/json"}
FILL = " " * (MIB + 1)
"""White space that makes any JSON large."""


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    own = f"--model=own_code={MODELS}/own_code.py"
    return serve_module(NUMBERS, own, "--raw-predictions", errors_expected=True)


@pytest.fixture(scope="module")
def strict(serve_module: Serve):
    model = NUMBERS
    return serve_module("--strict-arguments", model, "--raw-predictions")


@pytest.fixture(autouse=True)
def no_files_stay(server: Server):
    yield
    wait_until(lambda: not list(server.temporary.glob("deepaas-*-*.*")))


def post(server: Server, text: str | bytes, path: str = PREDICT, **options):
    headers = HEAD | options.pop("headers", {})
    return server.post(path, content=text, headers=headers, **options)


def test_a_list_of_numbers(server):
    text = json.dumps({"numbers": [1.5] * 500_000, "text": "é"})
    assert len(text) > 2 * MIB
    assert prediction(post(server, text)) == [750_000, 1, None]
    packed = gzip.compress(text.encode())
    answer = post(server, packed, headers={"Content-Encoding": "gzip"})
    assert prediction(answer) == [750_000, 1, None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_charset(server, encoding):
    text = json.dumps({"text": "é" * MIB}, ensure_ascii=False).encode(encoding)
    headers = {"Content-Type": f"application/json; charset={encoding}"}
    assert prediction(post(server, text, headers=headers)) == [0, MIB, None]


def test_values_of_other_places(server):
    text = f'{{"numbers": [1, 2], "scale": 7, "more": 1}}{FILL}'
    options = {"params": {"scale": "2", "other": "1"}, "headers": {"X-Key": "k"}}
    answer = post(server, text, **options)
    assert prediction(answer) == [6, 0, "k"]
    assert answer.headers["X-Ignored-Arguments"] == "other, more"


def test_strict_arguments(strict):
    answer = post(strict, f'{{"nunbers": [], "scale": "x"}}{FILL}')
    assert answer.status_code == 422
    assert answer.json() == {
        "nunbers": ["Unknown argument; did you mean 'numbers'?"],
        "scale": ["Not a valid number."],
    }
    assert answer.headers["X-Ignored-Arguments"] == "nunbers"


@pytest.mark.parametrize("path", [PREDICT, OWN, TRAIN])
@pytest.mark.parametrize(
    ("text", "status", "messages"),
    [
        (
            FILL + "\n{,}",
            400,
            {
                "json": [
                    "Invalid JSON body.",
                    "line 2, column 2: Expecting property name enclosed in double "
                    "quotes.",
                ]
            },
        ),
        (
            FILL + "[" * 200_000,
            400,
            {"json": ["Invalid JSON body.", "It is nested too deeply."]},
        ),
        (f"[{FILL}]", 422, {"json": ["Must be a JSON object."]}),
        (b'{"a": "' + b"\xff" * MIB, 400, None),
    ],
)
def test_broken_json(server, path, text, status, messages):
    answer = post(server, text, path)
    assert answer.status_code == status, answer.text
    assert messages is None or answer.json() == messages
    assert answer.json()["json"]


def test_an_unknown_charset(server):
    for charset in ("nonsense", "hex"):
        headers = {"Content-Type": f"application/json; charset={charset}"}
        answer = post(server, "{}" + FILL, headers=headers)
        assert answer.status_code == 400
        assert "cannot be decoded" in answer.json()["message"]


def test_values_that_do_not_fit(server):
    answer = post(server, f'{{"scale": "x", "numbers": [1, "y"]}}{FILL}')
    assert answer.status_code == 422
    assert answer.json() == {
        "scale": ["Not a valid number."],
        "numbers": {"1": ["Not a valid number."]},
    }
    answer = post(server, json.dumps({"numbers": ["y"] * 400_000}))
    assert answer.status_code == 422
    assert answer.json() == {"numbers": ["It has too many faults to list."]}


def test_own_classes(server):
    answer = post(
        server, f'{{"n": 2, "mode": "exact", "point": {{"x": 3}}}}{FILL}', OWN
    )
    assert answer.status_code == 200, answer.text
    assert '"mode":"EXACT"' in answer.text.replace("\\", "")
    answer = post(server, f'{{"n": 1}}{FILL}', OWN)
    assert answer.json() == {"n": ["Must be even."]}


def test_a_job(server):
    text = json.dumps({"numbers": [1] * 500_000, "scale": 2})
    key = {"Idempotency-Key": "large-1"}
    job = post(server, text, TRAIN, headers=key).json()
    assert post(server, text, TRAIN, headers=key).json()["uuid"] == job["uuid"]
    other = post(server, text.replace("1", "2", 1), TRAIN, headers=key)
    assert other.status_code == 422
    place = f"{TRAIN}{job['uuid']}"
    wait_until(lambda: server.get(place).json()["status"] == "done")
    shown = server.get(place).json()
    assert "bytes of JSON" in json.dumps(shown)
    assert "1000000" in json.dumps(shown)


def test_a_caller_who_leaves_while_values_are_loaded(serve: Serve):
    server = serve(NUMBERS, errors_expected=True)
    text = json.dumps({"numbers": [1] * 3_000_000}).encode()
    with pytest.raises(httpx.TimeoutException):
        post(server, text, timeout=0.3)
    wait_until(lambda: not list(server.temporary.glob("deepaas-*-*.*")))
    assert prediction(server.post(PREDICT, params={"scale": "1"})) is not None


def test_a_full_disk(serve: Serve):
    server = serve(NUMBERS)
    process = psutil.Process(server.pid)
    process.rlimit(psutil.RLIMIT_FSIZE, (MIB, psutil.RLIM_INFINITY))
    answer = post(server, "{}" + FILL)
    assert answer.status_code == 507
    assert "no space" in answer.json()["message"]
    assert not list(server.temporary.glob("deepaas-*-*.*"))


def test_others_do_not_wait_and_memory_stays(serve: Serve):
    """100 MiB of JSON: prints how long other callers wait, since machines are busy."""
    server = serve(
        NUMBERS,
        f"--model=quick={MODELS}/quick.py",
        "--client-max-size=0",
        "--raw-predictions",
    )
    process = psutil.Process(server.pid)
    post(server, '{"numbers": []}' + FILL)  # starts the describer
    server.post("/v2/models/quick/predict/")
    peak_before = peak(process)
    waits: list[float] = []
    ends = threading.Event()

    def ask() -> None:
        while not ends.is_set():
            began = time.perf_counter()
            server.post("/v2/models/quick/predict/")
            waits.append(time.perf_counter() - began)
            ends.wait(0.02)

    other = threading.Thread(target=ask)
    other.start()
    try:
        count = 100 * MIB // 5
        text = b'{"numbers": [' + b"1.5, " * count + b"1.5]}"
        answer = post(server, text, timeout=300)
    finally:
        ends.set()
        other.join()
    grown = peak(process) - peak_before
    p99 = sorted(waits)[int(len(waits) * 0.99)]
    print(f"{grown / MIB:+.1f} MiB, {len(waits)} calls, p99 {p99 * 1e3:.1f} ms")
    assert prediction(answer) == [1.5 * (count + 1), 0, None]
    assert grown < 32 * MIB


def peak(process: psutil.Process) -> int:
    """Return the peak of its memory since the last call, in bytes."""
    with open(f"/proc/{process.pid}/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    with open(f"/proc/{process.pid}/clear_refs", "w") as file:
        file.write("5")
    return int(lines["VmHWM"].split()[0]) * 1024


OWN_FIELD = """
import os, time
from marshmallow import fields

class Own(fields.Int):
    def _deserialize(self, value, *args, **kwargs):
        if value == "dies":
            os._exit(7)
        while isinstance(value, str) and not os.path.exists(value):
            time.sleep(0.01)
        value = 0 if isinstance(value, str) else value
        return super()._deserialize(value, *args, **kwargs)

def get_predict_args():
    return {"n": Own(load_default=1)}

def predict(n):
    return n
"""


def test_a_describer_that_dies_or_takes_long(serve: Serve, tmp_path):
    (tmp_path / "own_field.py").write_text(OWN_FIELD)
    model = "--model=m=own_field.py"
    server = serve(model, "--raw-predictions", cwd=tmp_path, errors_expected=True)
    path = "/v2/models/m/predict/"
    answer = post(server, '{"n": "dies"}' + FILL, path)
    assert answer.status_code == 500
    assert "died" in answer.json()["message"]
    assert not list(server.temporary.glob("deepaas-*-*.*"))
    gate = tmp_path / "gate"
    answers = []
    text = json.dumps({"n": str(gate)}) + FILL
    large = threading.Thread(target=lambda: answers.append(post(server, text, path)))
    large.start()
    # Small values are loaded meanwhile, by a second describer.
    assert prediction(server.post(path, json={"n": 3})) == 3
    assert not answers
    gate.touch()
    large.join()
    assert prediction(answers[0]) == 0
