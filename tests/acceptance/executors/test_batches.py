"""Batches: calls that a model takes together, each with an answer of its own."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin

import pytest

from tests.conftest import Serve
from tests.server import Server, prediction, wait_until

MODEL = "batched=tests/models/batched.py"
PREDICT = "/v2/models/batched/predict/"


@pytest.fixture
def batched(serve: Serve) -> Server:
    return serve("--model", MODEL, "--raw-predictions")


def ask(server: Server, count: int, how: str = "number"):
    """Send so many calls at once; their answers, in order."""

    def one(n):
        return server.post(PREDICT, json={"n": n, "how": how})

    with ThreadPoolExecutor(count) as threads:
        return list(threads.map(one, range(count)))


def test_each_caller_gets_its_own_answer(batched):
    sizes = set()
    for _ in range(10):
        for n, answer in enumerate(ask(batched, 24)):
            assert answer.status_code == 200
            assert prediction(answer)["n"] == n
            sizes.add(prediction(answer)["size"])
    assert max(sizes) > 1
    assert max(sizes) <= 16


def test_a_call_alone_is_a_batch_of_one(batched):
    assert prediction(batched.post(PREDICT, json={"n": 5})) == {"n": 5, "size": 1}


def test_a_bad_one_fails_alone(batched):
    with ThreadPoolExecutor(8) as threads:
        ways = ["number", "bad", "no form", "number", "bad", "number"]
        answers = threads.map(
            lambda how: batched.post(PREDICT, json={"n": 1, "how": how}), ways
        )
        for how, answer in zip(ways, answers, strict=True):
            if how == "number":
                assert prediction(answer)["n"] == 1
            elif how == "bad":
                assert answer.status_code == 500
                assert answer.json() == {"message": "ValueError: 1 is bad"}
            else:
                assert "object has no JSON form" in answer.json()["message"]
    batched.errors_expected = True


def test_what_fails_the_whole_batch(batched):
    batched.errors_expected = True
    assert {answer.status_code for answer in ask(batched, 6, "raise")} == {500}
    killed = ask(batched, 6, "killed")
    assert all("SIGKILL" in answer.json()["message"] for answer in killed)
    assert prediction(batched.post(PREDICT, json={"n": 5}))["n"] == 5


@pytest.mark.parametrize("kind", ["dict", "set", "str", "frame", "generator"])
def test_what_is_not_one_result_for_each_call(batched, kind):
    batched.errors_expected = True
    for answer in ask(batched, 6, kind):
        assert answer.status_code == 500
        assert "must return a list, a tuple or an array" in answer.json()["message"]
    assert prediction(batched.post(PREDICT, json={"n": 5}))["n"] == 5


@pytest.mark.parametrize("kind", ["tuple", "array"])
def test_results_in_order_of_another_kind(batched, kind):
    answers = [prediction(answer) for answer in ask(batched, 6, kind)]
    numbers = [each["n"] if kind == "tuple" else each for each in answers]
    assert numbers == list(range(6))


def test_files_in_a_batch(batched):
    def one(n):
        files = {"data": (f"{n}.bin", str(n).encode())}
        return batched.post(PREDICT, data={"n": n}, files=files)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(one, range(40)))
    assert [answer.content for answer in answers] == [
        str(n).encode() for n in range(40)
    ]


def test_jobs_are_called_alone(batched):
    headers = {"Prefer": "respond-async"}
    answers = [batched.post(PREDICT, json={"n": n}, headers=headers) for n in range(5)]
    places = [urljoin(PREDICT, answer.headers["Location"]) for answer in answers]
    for n, place in enumerate(places):
        wait_until(lambda place=place: batched.get(place).json()["status"] == "done")
        assert prediction(batched.get(f"{place}/result")) == {"n": n, "size": 1}


def test_lines_have_the_ids_of_all_calls(batched):
    with ThreadPoolExecutor(3) as threads:
        for number in range(3):
            headers = {"X-Request-ID": f"mine-{number}"}
            threads.submit(batched.post, PREDICT, json={"n": 1}, headers=headers)
    for number in range(3):
        batched.wait_for_output(rf"\[batched \d+ \S*mine-{number}\S*\] together")


def test_metrics_show_the_sizes(batched):
    ask(batched, 24)
    text = batched.get("/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")
    assert float(figures['deepaas_batch_size_sum{model="batched"}']) == 24
    assert 1 < float(figures['deepaas_batch_size_count{model="batched"}']) < 24


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_batch_size = 0", "max_batch_size must be a positive int, not 0"),
        ("batch_timeout = 'soon'", "batch_timeout must be seconds, not 'soon'"),
    ],
)
def test_sizes_that_make_no_sense(line, message, tmp_path, fail_to_start):
    model = tmp_path / "wrong.py"
    model.write_text(f"{line}\ndef predict_batch(calls): return calls\n")
    ended = fail_to_start("--model", f"wrong={model}")
    assert ended.code == 1
    assert message in ended.stderr
