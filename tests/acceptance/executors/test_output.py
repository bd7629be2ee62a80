"""Standard output and error of a worker, which belong to its model."""

import pytest

from tests.conftest import Serve
from tests.models.outputs import WAYS
from tests.server import Server, wait_until

MODEL = "m=tests/models/outputs.py"
PREDICT = "/v2/models/m/predict/"
TRAIN = "/v2/models/m/train/"

ASCII = (
    {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"LC_ALL": "en_US.ISO-8859-1", "PYTHONIOENCODING": "latin-1"},
)


def train(server: Server, way: str):
    uuid = server.post(TRAIN, params={"way": way}).json()["uuid"]
    job = f"{TRAIN}{uuid}"
    wait_until(lambda: "result" in server.get(job).json())
    return server.get(job).json(), server.get(f"{job}/log").text


@pytest.mark.parametrize("way", WAYS)
def test_the_worker_lives_on_without_its_streams(serve: Serve, way):
    server = serve("--model", MODEL)
    pids = set()
    for _ in range(2):
        # Only a model that uses its closed stream has an error of its own.
        again = "log" if pids and way in ("close", "redirect") else way
        answer = server.post(PREDICT, params={"way": again})
        assert answer.status_code == 200, answer.text
        pids.add(answer.json()["predictions"])
    assert len(pids) == 1
    job, _ = train(server, "log")
    assert job["status"] == "done", job
    if way != "close descriptors":
        server.wait_for_output("still logged")
    if way in ("close", "redirect"):
        server.wait_for_output("before the")


@pytest.mark.parametrize("way", WAYS)
def test_a_training_that_returns_is_done(serve: Serve, way):
    job, _ = train(serve("--model", MODEL), way)
    assert job["status"] == "done", job


def test_a_closed_stream_is_the_models_own_error(serve: Serve):
    server = serve("--model", MODEL, errors_expected=True)
    server.post(PREDICT, params={"way": "close"})
    answer = server.post(PREDICT, params={"way": "print"})
    assert answer.status_code == 500
    assert answer.json() == {"message": "ValueError: I/O operation on closed file."}


@pytest.mark.parametrize("way", ["close", "close descriptors", "broken"])
def test_the_reason_of_an_exit_without_streams(serve: Serve, way):
    server = serve("--model", MODEL, errors_expected=True)
    server.post(PREDICT, params={"way": way})
    answer = server.post(PREDICT, params={"way": "exit"})
    assert answer.status_code == 500
    assert "exit code 1" in answer.json()["message"]
    if way != "close descriptors":
        server.wait_for_output("the last line")


@pytest.mark.parametrize("locale", ASCII)
def test_any_text_is_in_a_log_file_in_any_locale(serve: Serve, locale, tmp_path):
    path = tmp_path / "log"
    server = serve("--model", MODEL, "--log-file", path, env=locale)
    server.post(PREDICT, params={"way": "print"})
    server.stop()
    log = path.read_text(encoding="utf-8")
    assert "printed: ☺ \\udcff\n" in log
    assert "Traceback" not in server.output


@pytest.mark.parametrize("locale", ASCII)
def test_any_text_is_printed_in_any_locale(serve: Serve, locale):
    server = serve("--model", MODEL, env=locale)
    answer = server.post(PREDICT, params={"way": "print"})
    assert answer.status_code == 200, answer.text
    # the server's own log is in the encoding of the locale
    server.wait_for_output(r"printed: (\u263a|\\u263a) ")
    server.wait_for_output(r"printed: (\u263b|\\u263b)")
    server.wait_for_output(r"logged: (\u263a|\\u263a)")
    job, log = train(server, "print")
    assert job["status"] == "done"
    assert "printed: \u263a \\udcff\n" in log
    assert "logged: \u263a\n" in log
