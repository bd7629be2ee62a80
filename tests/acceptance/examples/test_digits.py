"""The example model: as its author tests it, and over HTTP."""

import concurrent.futures
import io
import logging
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from PIL import Image, ImageOps

from deepaas.model.v2.wrapper import UploadedFile
from tests.conftest import Serve

pytest.importorskip("deepaas_digits", reason="examples/digits is not installed")

from deepaas_digits import api, model, samples
from deepaas_digits.images import UnreadableImage, normalise, read_ink

DATA = Path(api.__file__).parent / "data"
SAMPLES = {"three.png": 3, "seven.jpg": 7, "five.png": 5}


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    trained = model.DigitClassifier(tmp_path_factory.mktemp("model"))
    trained.load()
    return trained


@pytest.fixture(autouse=True)
def _use(classifier, monkeypatch):
    monkeypatch.setattr(api, "classifier", classifier)


def predict(path, accept="application/json"):
    return api.predict(UploadedFile("data", str(path)), accept)


@pytest.mark.parametrize(("name", "label"), SAMPLES.items())
def test_the_samples(name, label):
    answer = predict(DATA / name)
    assert answer["label"] == label
    assert answer["probabilities"].sum() == pytest.approx(1)
    picture = Image.open(predict(DATA / name, "image/png"))
    assert picture.format == "PNG"
    assert picture.width > picture.height > 100


@pytest.mark.parametrize("dark_on_light", [True, False])
@pytest.mark.parametrize(
    ("form", "mode"), [("PNG", "RGB"), ("JPEG", "L"), ("PNG", "LA"), ("PNG", "P")]
)
def test_held_out_digits_through_files(classifier, tmp_path, form, mode, dark_on_light):
    held_out, labels = samples.held_out()
    right = 0
    for digit, label in zip(held_out[:100], labels[:100], strict=True):
        image = samples.enlarge(digit, 100)
        image = ImageOps.invert(image) if dark_on_light else image
        image.convert(mode).save(tmp_path / "digit", form)
        right += predict(tmp_path / "digit")["label"] == label
    assert right >= 95


def on_transparent(ink, colour):
    image = Image.new("RGBA", ink.size, colour)
    image.putalpha(ink)
    return image


def red_on_green(ink):
    red, green = (Image.new("RGB", ink.size, c) for c in ("red", "#008200"))
    return Image.composite(red, green, ink)


def on_shaded_paper(ink):
    shade = np.linspace(1, 0.85, ink.width)
    return Image.fromarray((shade * (230 - 0.6 * np.asarray(ink))).astype(np.uint8))


@pytest.mark.parametrize(
    "draw",
    [
        lambda ink: on_transparent(ink, "black"),
        lambda ink: on_transparent(ink, "white"),
        red_on_green,
        on_shaded_paper,
        lambda ink: Image.fromarray(np.asarray(ink).astype(np.uint16) * 257),
    ],
    ids=["black on nothing", "white on nothing", "colours", "photograph", "16 bits"],
)
def test_what_is_ink(tmp_path, draw):
    pictures, labels = samples.held_out()
    right = 0
    for digit, label in zip(pictures[:50], labels[:50], strict=True):
        draw(samples.enlarge(digit, 100)).save(tmp_path / "a.png")
        right += predict(tmp_path / "a.png")["label"] == label
    assert right >= 47


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no picture",
        (DATA / "three.png").read_bytes()[:500],
        (DATA / "seven.jpg").read_bytes()[:300],
    ],
)
def test_a_file_that_is_not_a_picture(tmp_path, content):
    file = tmp_path / "a.png"
    file.write_bytes(content)
    with pytest.raises(web.HTTPBadRequest):
        predict(file)


def test_an_empty_and_a_huge_picture(tmp_path):
    Image.new("L", (50, 50), 200).save(tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match="empty"):
        normalise(read_ink(tmp_path / "a.png"))
    Image.new("1", (8_000, 8_000)).save(tmp_path / "b.png")
    with pytest.raises(UnreadableImage, match=r"^the picture has over"):
        read_ink(tmp_path / "b.png")


def test_a_training_is_used_by_the_other_workers(tmp_path):
    one, other = (model.DigitClassifier(tmp_path) for _ in range(2))
    one.load()
    other.load()
    digit = normalise(read_ink(DATA / "three.png"))
    before = other.probabilities(digit)
    *_, last = one.train(epochs=2, hidden_units=16, learning_rate=0.01)
    assert last.number == 2
    assert last.accuracy > 0.5
    assert np.array_equal(other.probabilities(digit), one.probabilities(digit))
    assert not np.array_equal(other.probabilities(digit), before)


def test_without_warming(tmp_path):
    classifier = model.DigitClassifier(tmp_path)
    digit = normalise(read_ink(DATA / "three.png"))
    assert classifier.probabilities(digit).argmax() == 3


def test_where_nothing_can_be_written(tmp_path, caplog):
    (tmp_path / "file").touch()
    classifier = model.DigitClassifier(tmp_path / "file")
    classifier.load()
    assert "cannot be saved" in caplog.text
    digit = normalise(read_ink(DATA / "three.png"))
    assert classifier.probabilities(digit).argmax() == 3


def test_a_damaged_model_is_fitted_again(tmp_path, caplog):
    (tmp_path / "digits.joblib").write_bytes(b"damaged")
    with caplog.at_level(logging.WARNING):
        fitted = model.DigitClassifier(tmp_path)
        fitted.load()
    assert "cannot be used" in caplog.text
    assert fitted.probabilities(normalise(read_ink(DATA / "three.png"))).argmax() == 3


def test_over_http(serve: Serve, tmp_path):
    env = {"DIGITS_MODEL_DIR": str(tmp_path)}
    server = serve("--model-name", "digits", env=env)
    for path in ("/v2/models/digits/predict", "/v2/models/digits/predict/"):
        files = {"data": ("three.png", (DATA / "three.png").read_bytes())}
        answer = server.post(path, files=files)
        assert answer.json()["label"] == 3
        assert answer.json()["probabilities"][3] > 0.9
    picture = server.post(path, files=files, headers={"Accept": "image/png"})
    assert Image.open(io.BytesIO(picture.content)).format == "PNG"
    broken = server.post(path, files={"data": ("a.png", b"broken")})
    assert broken.status_code == 400
    assert broken.json() == {"message": "this is not a PNG or JPEG picture"}
    described = server.get("/v2/models/digits/").json()
    assert described["version"] == "1.0.0"


def test_a_training_over_http(serve: Serve, tmp_path):
    env = {"DIGITS_MODEL_DIR": str(tmp_path)}
    server = serve("--model-name", "digits", "--workers", "2", env=env)
    files = {"data": ("three.png", (DATA / "three.png").read_bytes())}

    def probabilities():
        answer = server.post("/v2/models/digits/predict", files=files)
        return tuple(answer.json()["probabilities"])

    before = probabilities()
    path = "/v2/models/digits/train"
    params = {"epochs": 5, "hidden_units": 16}
    job = f"{path}/{server.post(path, params=params).json()['uuid']}"
    with server.client.stream("GET", f"{job}/events") as events:
        told = [line for line in events.iter_lines() if line.startswith("event: pro")]
    assert told
    ended = server.get(job).json()
    assert ended["status"] == "done"
    assert ended["progress"]["step"] == ended["progress"]["total"] == 5
    curve = server.get(f"{job}/metrics").json()
    assert curve["step"] == [1, 2, 3, 4, 5]
    assert curve["loss"] == sorted(curve["loss"], reverse=True)
    assert curve["accuracy"][-1] == ended["result"]["output"]["accuracy"]
    assert server.get(f"{job}/log").text.count("epoch") == 5
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        after = set(pool.map(lambda _: probabilities(), range(40)))
    assert before not in after
    assert len(after) == 1
    health = server.get("/v2/health/ready").json()["models"]["digits"]["workers"]
    assert all(worker["calls"] > 0 for worker in health)
