"""Arguments that the model does not have, and files that a model returns."""

import json
from urllib.parse import unquote

import pytest

from tests.acceptance.api.conftest import BACK, SENT, form, sent
from tests.conftest import Serve
from tests.server import MODELS, wait_until


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    names = ("sent", "gives_back", "upload_or_fail", "quick")
    models = [f"--model={name}={MODELS / name}.py" for name in names]
    return serve_module(*models, "--raw-predictions", errors_expected=True)


@pytest.fixture(scope="module")
def strict(serve_module: Serve):
    return serve_module("--strict-arguments", f"--model=sent={MODELS / 'sent.py'}")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"params": {"treshold": 1, "n": 1}}, ["treshold"]),
        ({"json": {"treshold": 1, "m": 2}}, ["treshold", "m"]),
        ({"data": {"N": 1}, "params": {"m": 1}}, ["m", "N"]),
        ({"files": {"picture": ("a.png", b"x"), "n": (None, b"1")}}, ["picture"]),
        ({"params": {"n[]": 1}}, ["n[]"]),
        ({"json": {"in query": 1}}, ["in query"]),
        ({"params": {"image": "x"}}, ["image"]),
        ({"json": {"a,b": 1, "é\r\nX: y": 2, "\ud800": 3}}, ["a,b", "é\r\nX: y", "?"]),
    ],
)
def test_what_is_ignored_is_named(server, options, names):
    if "json" in options:
        head = {"Content-Type": "application/json"}
        options = {"content": json.dumps(options["json"]), "headers": head}
    answer = server.post(SENT, **options)
    assert answer.status_code == 200
    header = answer.headers["X-Ignored-Arguments"]
    assert [unquote(name) for name in header.split(", ")] == names
    assert header.isascii()
    request_id = answer.headers["X-Request-ID"]
    line = server.wait_for_output(rf"{request_id} .*predict.* ignored (.*)")
    assert header in line[0]


def test_many_and_long_names_that_are_ignored(server):
    answer = server.post(SENT, json={"💩" * 100 + str(n): 1 for n in range(5000)})
    assert answer.status_code == 200
    assert len(answer.headers["X-Ignored-Arguments"]) < 2100
    answer = server.post(SENT, json={f"a{n}": 1 for n in range(30)})
    assert answer.headers["X-Ignored-Arguments"].endswith("a19, ...")


def test_what_is_not_ignored(server):
    both = {"params": {"in query": 1}, "json": {"in query": 2, "n": 1}}
    answer = server.post(SENT, **both)
    assert sent(answer) == {"in query": "1", "n": "1"}
    assert "X-Ignored-Arguments" not in answer.headers


def test_the_ignored_are_named_in_errors_and_jobs_and_by_models_without_arguments(
    server,
):
    wrong = server.post(SENT, params={"n": "x", "m": 1})
    assert wrong.status_code == 422
    assert wrong.headers["X-Ignored-Arguments"] == "m"
    job = server.post(SENT, json={"m": 1}, headers={"Prefer": "respond-async"})
    assert job.headers["X-Ignored-Arguments"] == "m"
    job = server.post("/v2/models/sent/train", data={"m": 1})
    assert job.headers["X-Ignored-Arguments"] == "m"
    for options in ({"json": {"zz": 1}}, {"data": {"zz": 1}}, {"params": {"zz": 1}}):
        answer = server.post("/v2/models/quick/predict", **options)
        assert answer.headers["X-Ignored-Arguments"] == "zz"


def test_strict_arguments(strict):
    def refused(**options):
        answer = strict.post(SENT, **options)
        assert answer.status_code == 422, answer.text
        return answer.json()

    nearest = {"treshold": ["Unknown argument; did you mean 'threshold'?"]}
    assert refused(params={"treshold": 1}) == nearest
    assert refused(json={"treshold": 1}) == nearest
    assert refused(files={"treshold": ("a", b"x")}) == nearest
    assert refused(data={"treshold": 1, "n": "x"}) == {
        **nearest,
        "n": ["Not a valid integer."],
    }
    assert refused(json={"zzzzzz": 1}) == {"zzzzzz": ["Unknown argument."]}
    places = "Not looked for in a JSON body, but in the query."
    assert refused(json={"in query": 1}) == {"in query": [places]}
    assert len(refused(json={"💩" * 100 + str(n): 1 for n in range(5000)})) <= 20
    good = strict.post(SENT, data={"n": 1, "sizes[]": [1, 2], "image": ""})
    assert good.status_code == 200
    job = strict.post("/v2/models/sent/train", json={"treshold": 1})
    assert job.status_code == 422
    assert strict.get("/v2/models/sent/train").json() == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"n": 1}',
        b' {"text": "a&b=c", "n": 1}\r\n',
        b'{"n": 1,}',
        b"{'n': 1}",
        b"[1, 2]",
        b"%7B%22n%22%3A%201%7D",
        b'{"text": "' + b"a" * 100_000 + b'"}',
    ],
)
def test_json_that_is_sent_as_a_form(server, text):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.post(SENT, content=text, headers=headers)
    assert answer.status_code == 422
    [message] = answer.json()["json"]
    assert "Content-Type: application/json" in message


@pytest.mark.parametrize(
    "text", [b"{n}=1&n=2", b"{n=1&n=2", b"%5B1%5D=1&n=2", b"n=2&{}"]
)
def test_a_form_that_looks_like_json(server, text):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert sent(server.post(SENT, content=text, headers=headers)) == {"n": "2"}


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("how", ["open", "unbuffered", "path", "itself"])
@pytest.mark.parametrize("name", ["data", "several"])
def test_an_upload_that_comes_back_keeps_its_name(server, how, size, name):
    content = b"x" * size
    file = (name, ("größe.nii.gz", content))
    answer = server.post(BACK, files=[file], params={"how": how})
    assert answer.content == content
    disposition = answer.headers["Content-Disposition"]
    assert disposition.endswith("filename*=UTF-8''gr%C3%B6%C3%9Fe.nii.gz")
    assert "deepaas-" not in disposition
    wait_until(lambda: list(server.temporary.iterdir()) == [])


def test_an_upload_without_a_name_comes_back_without_one(server):
    part = ('name="data"; filename=""', ["Content-Type: image/png"], b"content")
    answer = server.post(BACK, **form(part))
    assert answer.content == b"content"
    assert "Content-Disposition" not in answer.headers


def test_other_files_and_the_results_of_jobs(server):
    options = {"files": {"data": ("a.txt", b"content")}, "params": {"how": "copy"}}
    answer = server.post(BACK, **options)
    assert answer.headers["Content-Disposition"].endswith('filename="copy.bin"')
    options["params"] = {"how": "open"}
    answer = server.post(BACK, **options, headers={"Prefer": "respond-async"})
    job = f"{BACK}/{answer.json()['uuid']}"
    wait_until(lambda: server.get(job).json()["status"] == "done")
    result = server.get(f"{job}/result")
    assert result.content == b"content"
    assert result.headers["Content-Disposition"] == 'inline; filename="a.txt"'


def test_the_envelope_of_a_jobs_result(server):
    answer = server.post(SENT, json={"n": 1}, headers={"Prefer": "respond-async"})
    job = f"{SENT}/{answer.json()['uuid']}"
    wait_until(lambda: server.get(job).json()["status"] == "done")
    assert sent(server.get(f"{job}/result")) == {"n": "1"}
