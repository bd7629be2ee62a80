"""The examples that are single files, served together."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import io
import json
import os
import wave

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.server import ROOT, prediction

EXAMPLES = ("shapes", "topics", "story", "species", "denoise")
NEEDS = ("torch", "wordllama", "sklearn")


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory):
    for package in NEEDS:
        if importlib.util.find_spec(package) is None:
            missing = f"{package} is missing: pip install -r examples/requirements.txt"
            if os.environ.get("DEEPAAS_TEST_NO_SKIP") == "1":
                pytest.fail(missing, pytrace=False)
            pytest.skip(missing)
    weights = tmp_path_factory.mktemp("shapes") / "weights.pt"
    targets = [f"--model={name}=examples/{name}.py" for name in EXAMPLES]
    # nothing may be downloaded: a connection to a proxy that is not there would fail
    nowhere = "http://127.0.0.1:9"
    env = {
        "SHAPES_FILE": str(weights),
        "TORCHINDUCTOR_CACHE_DIR": str(weights.parent),  # else in the temporary folder
        "https_proxy": nowhere,
        "http_proxy": nowhere,
    }
    return serve_module(*targets, env=env, start_timeout=110)


def test_all_are_listed(server):
    listed = {model["id"] for model in server.get("/v2/models/").json()["models"]}
    assert listed == {*EXAMPLES}


# -- shapes


def picture(shape, *, paper="white", ink="black", side=120):
    image = Image.new("RGB", (side, side), paper)
    pen = ImageDraw.Draw(image)
    middle = side / 2
    if shape == "circle":
        pen.circle((middle, middle), side / 3, fill=ink)
    else:
        sides = 4 if shape == "square" else 3
        pen.regular_polygon((middle, middle, side / 2.5), sides, fill=ink)
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def classify(server, content):
    return server.post("/v2/models/shapes/predict", files={"picture": content})


@pytest.mark.parametrize("shape", ["circle", "square", "triangle"])
@pytest.mark.parametrize("colours", [("white", "navy"), ("black", "yellow")])
def test_shapes(server, shape, colours):
    paper, ink = colours
    answer = classify(server, picture(shape, paper=paper, ink=ink)).json()
    assert answer["label"] == shape
    assert sum(answer["probabilities"]) == pytest.approx(1)
    assert len(answer["labels"]) == len(answer["probabilities"]) == 3


def test_shapes_refuses_another_file(server):
    answer = classify(server, b"a text")
    assert answer.status_code == 400
    assert answer.json() == {"message": "this is not a picture"}


def test_shapes_learns_again(server):
    before = classify(server, picture("circle")).json()["probabilities"]
    path = "/v2/models/shapes/train"
    params = {"epochs": 2, "pictures": 200, "seed": 1}
    job = server.post(path, params=params).json()
    log = server.get(f"{path}/{job['uuid']}/log", params={"follow": 1}).text
    assert log.count("epoch") == 2
    ended = server.get(f"{path}/{job['uuid']}").json()
    assert ended["status"] == "done", ended
    assert ended["progress"]["metrics"].keys() == {"loss", "accuracy"}
    assert classify(server, picture("circle")).json()["probabilities"] != before


# -- topics


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The team scored twice in the last minute of the match.", "sports"),
        ("Parliament votes on the new law after the election.", "politics"),
        ("The telescope measured the light of a distant star.", "science"),
        ("Chop the onions, and fry them slowly in butter.", "cooking"),
    ],
)
def test_topics(server, text, label):
    answer = server.post("/v2/models/topics/predict", json={"text": text}).json()
    assert answer["labels"][0] == label
    assert answer["scores"] == sorted(answer["scores"], reverse=True)
    assert sum(answer["scores"]) == pytest.approx(1, abs=1e-3)


def test_topics_with_labels_of_the_caller(server):
    body = {"text": "My flight was late.", "labels": ["travel", "music"]}
    answer = server.post("/v2/models/topics/predict", json=body).json()
    assert answer["labels"] == ["travel", "music"]
    alone = server.post("/v2/models/topics/predict", json={**body, "labels": ["one"]})
    assert alone.status_code == 422


# -- story


def test_story(server):
    params = {"words": 12, "pause": 0, "seed": 3}
    path = "/v2/models/story/predict"
    lines = server.post(path, params=params).text.splitlines()
    items = [json.loads(line) for line in lines]
    assert [item["n"] for item in items] == list(range(12))
    text = server.post(path, params=params, headers={"Accept": "text/plain"}).text
    assert text.split() == [item["word"] for item in items]
    events = server.post(path, params={**params, "accept": "text/event-stream"}).text
    assert events.count("data: ") == 12


def test_story_sends_each_word_when_it_is_there(server):
    params = {"words": 1000, "pause": 1}
    path = "/v2/models/story/predict"
    with server.client.stream("POST", path, params=params) as answer:
        first = next(answer.iter_lines())
    assert json.loads(first)["n"] == 0


# -- species


def test_species_in_batches(server):
    flowers = [
        ({"petal_length": 1.4, "petal_width": 0.2}, "setosa"),
        ({"sepal_length": 6.3, "petal_length": 6.0, "petal_width": 2.5}, "virginica"),
    ]

    def call(flower):
        sizes, label = flower
        answer = server.post("/v2/models/species/predict", params=sizes)
        return answer.json()["label"] == label

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(call, flowers * 40))
    metrics = server.get("/metrics").text
    sizes = {
        line.split()[0]: float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("deepaas_batch_size_") and 'model="species"' in line
    }
    assert sizes['deepaas_batch_size_sum{model="species"}'] == 80
    assert sizes['deepaas_batch_size_count{model="species"}'] < 80


# -- denoise


def recording(*, noise, seconds=1.0, channels=1, rate=16_000):
    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * rate)) / rate
    tone = np.where((time * 4).astype(int) % 4 == 0, 9000, 0) * np.sin(2765 * time)
    samples = np.stack([tone + rng.normal(0, noise, len(time))] * channels, axis=1)
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return content.getvalue()


def clean(server, content, **more):
    files = {"recording": ("a.wav", content, "audio/wav")}
    return server.post("/v2/models/denoise/predict", files=files, **more)


@pytest.mark.parametrize("channels", [1, 2])
def test_denoise(server, channels):
    answer = clean(server, recording(noise=500, channels=channels))
    assert answer.headers["Content-Type"] == "audio/wav"
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getnchannels(), file.getnframes()) == (channels, 16_000)
        frames = np.frombuffer(file.readframes(16_000), "<i2")
    samples = frames.reshape(-1, channels) / 1.0
    pause = samples[6_000:12_000]  # without the tone
    assert pause.std() < 250
    assert samples[:3_000].std() > 3_000  # the tone is still there


def test_denoise_as_json(server):
    answer = clean(server, recording(noise=500), headers={"Accept": "application/json"})
    levels = json.loads(prediction(answer))
    assert levels["seconds"] == 1
    assert levels["level_after"] < levels["level_before"]


@pytest.mark.parametrize("content", [b"", b"RIFF", recording(noise=1, seconds=0.01)])
def test_denoise_refuses_what_it_cannot_read(server, content):
    answer = clean(server, content)
    assert answer.status_code == 400, answer.text
    assert "message" in answer.json()


def test_each_file_says_how_to_serve_it():
    for name in EXAMPLES:
        text = (ROOT / "examples" / f"{name}.py").read_text()
        assert f"deepaas-run --model {name}=examples/{name}.py" in text
