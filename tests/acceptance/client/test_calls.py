"""deepaas.client against the real server: models, calls, files, streams and errors."""

from __future__ import annotations

import datetime
import hashlib
import io
import signal
from pathlib import Path

import pytest

from deepaas.client import (
    AsyncClient,
    CallFailed,
    Client,
    File,
    InvalidArguments,
    JobFailed,
    StreamFailed,
    Unreachable,
)
from deepaas.client.common import Lines
from tests.server import MODELS, free_port

NAMES = ("echo", "upload", "several_files", "places", "yields", "answers", "failing")


@pytest.fixture(scope="module")
def server(serve_module):
    options = [f"--model={name}={MODELS / name}.py" for name in (*NAMES, "options")]
    return serve_module(*options, errors_expected=True)


@pytest.fixture
def client(server):
    with Client(server.url, trust_env=False) as client:
        yield client


def test_models(client):
    assert {model["id"] for model in client.models()} == {*NAMES, "options"}
    assert client.model("echo").metadata()["name"] == "echo"
    with pytest.raises(ValueError, match=r"choose one of the models: .*echo"):
        client.model()
    with pytest.raises(CallFailed, match=r"'ech'; did you mean echo\?") as raised:
        client.model("ech")
    assert raised.value.status == 404


def test_a_prediction(client):
    answer = client.model("echo").predict(n=7)
    assert answer.value == {"n": 7}
    assert answer.media_type == "application/json"
    assert len(answer.request_id) > 8


def test_arguments_that_do_not_fit(client):
    model = client.model("echo")
    with pytest.raises(InvalidArguments, match="n: Not a valid integer") as raised:
        model.predict(n="x")
    assert raised.value.messages == {"n": ["Not a valid integer."]}
    assert raised.value.status == 422
    with pytest.raises(TypeError, match="unknown argument 'm'"):
        model.predict(m=1)
    with pytest.raises(TypeError, match="'bol'; did you mean bool"):
        client.model("options").predict(n=1, bol=True)


def test_values_of_every_kind(client):
    found = client.model("options").predict(
        {"demo-image": "a b.png", "size(px), [x]": 3},
        n=1,
        list=[1, 2],
        delimited=[0.5, 1.5],
        dict={"a": [1]},
        nested={"x": 1},
        bool=True,
        when=datetime.datetime(2026, 1, 2, 3, 4, 5),
        choice="b",
        strict=4,
    )
    assert found.value == {
        "n": "int 1",
        "demo-image": "str a b.png",
        "size(px), [x]": "int 3",
        "list": "list [1, 2]",
        "delimited": "list [0.5, 1.5]",
        "dict": "dict {'a': [1]}",
        "nested": "dict {'x': 1}",
        "bool": "bool True",
        "when": "datetime 2026-01-02 03:04:05",
        "choice": "str b",
        "strict": "int 4",
        "range": "float 0.5",
        "password": "str secret",
    }


VALUES = {
    "ints": [1, 2],
    "delimited": [1, 2],
    "spaced": [1, 2],
    "odd": "1;2",
    "rows": [[1], [2, 3]],
    "point": {"x": 1},
    "points": [{"x": 1}, {"x": 2}],
    "dict": {"a": "ñ"},
    "number": 0.5,
}


@pytest.mark.parametrize("location", ["query", "headers", "cookies", "form"])
def test_values_in_every_place(client, location):
    given = {
        f"{location}-{name}": value
        for name, value in VALUES.items()
        if location != "headers" or name != "dict"  # a header has no ñ
    }
    if location != "query" and location != "form":  # the document has no such style
        given[f"{location}-spaced"] = "1 2"
    found = client.model("places").predict(given).value
    expected = {**given, f"{location}-odd": [1, 2], f"{location}-spaced": [1, 2]}
    assert found == {name: repr(value) for name, value in expected.items()}


@pytest.mark.parametrize("how", ["path", "text", "bytes", "open", "memory", "file"])
def test_a_file(client, tmp_path, how):
    path = tmp_path / "ñ.png"
    path.write_bytes(b"\x00\xffpng")
    with path.open("rb") as opened:
        data = {
            "path": path,
            "text": str(path),
            "bytes": path.read_bytes(),
            "open": opened,
            "memory": io.BytesIO(path.read_bytes()),
            "file": File(path.read_bytes(), "x.png", "image/png"),
        }[how]
        found = client.model("upload").predict(data=data).value
    assert found == hashlib.sha256(b"\x00\xffpng").hexdigest()


def test_a_file_that_there_is_not(client, tmp_path):
    with pytest.raises(FileNotFoundError):
        client.model("upload").predict(data=tmp_path / "none.png")


def test_an_answer_that_is_a_file(client, tmp_path):
    model = client.model("yields")
    answer = model.predict(items=2, how="bytes", size=3, accept="video/mp4")
    assert (answer.value, answer.media_type) == (b"xxxxxx", "video/mp4")
    assert answer.save(tmp_path / "a.mp4").read_bytes() == b"xxxxxx"
    assert answer.save(tmp_path).name == "prediction"


@pytest.mark.parametrize("asynchronous", [True, False])
def test_a_stream(client, asynchronous):
    items = client.model("yields").stream(items=3, asynchronous=asynchronous)
    assert list(items) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_stream_comes_as_it_is_made(client, tmp_path):
    items = client.model("yields").stream(items=2, folder=str(tmp_path))
    (tmp_path / "0").touch()
    assert next(items) == {"n": 0}
    (tmp_path / "1").touch()
    assert next(items) == {"n": 1}
    assert list(items) == []


def test_streams_of_other_kinds(client):
    model = client.model("yields")
    events = model.stream(items=2, accept="text/event-stream")
    assert list(events) == [{"n": 0}, {"n": 1}]
    texts = model.stream(items=1, how="text", accept="text/event-stream")
    assert list(texts) == ["item 0\nof several"]
    pieces = model.stream(items=2, how="bytes", size=3, accept="video/mp4")
    assert b"".join(pieces) == b"xxxxxx"
    assert list(client.model("echo").stream(n=1)) == [{"n": 1}]


def test_a_model_that_fails(client):
    model = client.model("yields")
    with pytest.raises(CallFailed, match="not this one") as raised:
        list(model.stream(fail_at=0))
    assert raised.value.status == 409
    for accept in ("application/json", "text/event-stream"):
        items = model.stream(fail_at=1, accept=accept)
        assert next(items) == {"n": 0}
        with pytest.raises(StreamFailed, match="not this one"):
            next(items)
    with pytest.raises(Unreachable, match="was lost"):
        list(model.stream(fail_at=1, how="bytes", accept="video/mp4"))


def test_items_that_look_like_an_error():
    lines = Lines()
    assert lines.items('{"message": "a"}') == [{"message": "a"}]
    assert lines.items('{"message": "b"}') == [{"message": "b"}]
    lines.end()
    assert lines.items("1") == [1]
    assert lines.items('{"message": "c"}') == []
    assert lines.items("2") == [{"message": "c"}, 2]
    lines.end()


async def test_coroutines(server, tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    async with AsyncClient(server.url, trust_env=False) as client:
        await client.wait_until_ready()
        assert len(await client.models()) == len(NAMES) + 1
        echo, upload, yields = [
            await client.model(name) for name in ("echo", "upload", "yields")
        ]
        assert (await echo.predict(n=3)).value == {"n": 3}
        digest = hashlib.sha256(b"abc").hexdigest()
        assert (await upload.predict(data=path)).value == digest
        assert [item async for item in yields.stream(items=2)] == [{"n": 0}, {"n": 1}]
        with pytest.raises(InvalidArguments):
            await echo.predict(n="x")
        with pytest.raises(TypeError, match="unknown argument 'm'"):
            await echo.predict(m=1)
        with pytest.raises(CallFailed, match="did you mean echo"):
            await client.model("ech")


def test_no_server():
    with Client(f"http://127.0.0.1:{free_port()}", trust_env=False) as client:
        assert client.is_ready() is False
        with pytest.raises(Unreachable, match="no server answers at http://127"):
            client.models()
        with pytest.raises(TimeoutError, match="was not ready after 0 s"):
            client.wait_until_ready(0)


def test_a_token_and_a_base_path(serve, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    options = (f"--auth-token-file={tokens}", "--base-path=/x")
    server = serve(f"--model=echo={MODELS / 'echo.py'}", *options)
    url = f"{server.url}/x/"
    with Client(url, trust_env=False) as client:
        with pytest.raises(CallFailed) as raised:
            client.model()
        assert raised.value.status == 401
    with Client(url, token="secret", trust_env=False) as client:
        assert client.is_ready()
        model = client.model()
        assert model.name == "echo"
        assert model.predict(n=1).value == {"n": 1}


TRAINS = f"--model=trains={MODELS / 'trains.py'}"


def steps(folder: Path, *names):
    for name in names:
        (folder / str(name)).touch()


def test_a_training(serve, tmp_path):
    server = serve(TRAINS)
    with Client(server.url, trust_env=False) as client:
        model = client.model()
        training = model.train(steps=3, folder=str(tmp_path), result="numpy")
        assert training.status in ("queued", "running")
        seen = []
        steps(tmp_path, 1)
        for record in training.follow():
            if record.progress is not None:
                seen.append(record.progress.fraction)
                steps(tmp_path, 2, 3)
        assert seen == sorted(seen)
        assert seen[-1] == 1.0
        assert training.status == "done"
        assert training.result() == {"mean": 0.5, "all": [0, 1, 2]}
        assert training.metrics()["loss"] == [1.0, 0.5, pytest.approx(1 / 3)]
        assert "step 3" in training.log().splitlines()
        assert training.record.duration > 0
        assert [job.uuid for job in model.trainings(status="done")] == [training.uuid]
        assert model.training(training.uuid).record.ended
        training.delete()
        assert model.trainings() == []


def test_a_training_that_is_cancelled_or_fails(serve, tmp_path):
    server = serve(TRAINS, errors_expected=True)
    with Client(server.url, trust_env=False) as client:
        model = client.model()
        training = model.train(steps=1, folder=str(tmp_path))
        assert training.cancel().status == "cancelled"
        with pytest.raises(JobFailed) as raised:
            training.result()
        assert raised.value.job.status == "cancelled"
        with pytest.raises(JobFailed):
            model.train(fail="raise").result()
        lines = model.train(lines=2).follow_log()
        assert [line for line in lines if line.startswith("line")] == [
            "line 0",
            "line 1",
        ]


async def test_jobs_in_coroutines(serve, tmp_path):
    server = serve(f"--model=yields={MODELS / 'yields.py'}", TRAINS)
    steps(tmp_path, 0, 1, 2)
    async with AsyncClient(server.url, trust_env=False) as client:
        model = await client.model("yields")
        job = await model.submit(items=3, folder=str(tmp_path))
        records = [record async for record in job.follow()]
        assert records[-1].status == "done"
        assert (await job.result()).value == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert (await (await client.model("trains")).train(result="nan")).uuid
        again = await model.prediction(job.uuid)
        await again.delete()
        with pytest.raises(CallFailed) as raised:
            await again.refresh()
        assert raised.value.status == 404


def test_a_training_is_followed_over_a_restart_of_the_server(serve, tmp_path):
    port = free_port()
    options = (TRAINS, f"--listen-port={port}", f"--state-dir={tmp_path / 'state'}")
    server = serve(*options)
    with Client(server.url, trust_env=False) as client:
        following = client.model().train(steps=1, folder=str(tmp_path)).follow()
        assert next(following).status in ("queued", "running")
        server.stop(signal.SIGTERM)
        serve(*options)
        *_, last = following
        assert (last.status, last.message) == ("error", "the server was stopped")
