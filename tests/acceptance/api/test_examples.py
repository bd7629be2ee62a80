"""The files that an author names as examples: served, and no others."""

from __future__ import annotations

import pytest

from tests.conftest import Serve
from tests.server import MODELS

EXAMPLES = "/v2/models/hinted/examples"


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    return serve_module(f"--model=hinted={MODELS / 'hinted.py'}")


def test_they_are_served(server):
    answer = server.get(f"{EXAMPLES}/0")
    assert answer.content == (MODELS / "samples" / "one.txt").read_bytes()
    assert answer.headers["Content-Type"] == "text/plain"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert 'filename="one.txt"' in answer.headers["Content-Disposition"]
    picture = server.get(f"{EXAMPLES}/1/")
    assert picture.headers["Content-Type"] == "image/svg+xml"
    assert "sandbox" in picture.headers["Content-Security-Policy"]
    assert server.head(f"{EXAMPLES}/1").status_code == 200
    assert server.get(f"{server.url}/{EXAMPLES}//1").content == picture.content
    assert server.get(f"{EXAMPLES}/3").content == picture.content  # of train
    part = server.get(f"{EXAMPLES}/0", headers={"Range": "bytes=1-2"})
    assert (part.status_code, part.content) == (206, b"ne")
    etag = {"If-None-Match": answer.headers["ETag"]}
    assert server.get(f"{EXAMPLES}/0", headers=etag).status_code == 304


@pytest.mark.parametrize(
    "number",
    ["4", "-1", "x", "00", "%2e%2e", "0%2f..", "..%2fhinted.py", "1.0", "%F3%A0%84%80"],
)
def test_what_is_not_named_is_not_there(server, number):
    answer = server.get(f"{EXAMPLES}/{number}")
    assert answer.status_code == 404
    assert answer.json()["message"]
    assert server.get("/v2/models/nobody/examples/0").status_code == 404
    assert server.post(f"{EXAMPLES}/0").status_code == 405


def test_the_metrics_have_one_label_for_all(server):
    server.get(f"{EXAMPLES}/0")
    metrics = server.get("/metrics").text
    assert 'route="/v2/models/{model}/examples/{number}"' in metrics


MODEL = """
from webargs import fields

def get_predict_args():
    words = {"type": "file", "location": "form"}
    return {
        "a": fields.Field(metadata={**words, "examples": EXAMPLES}),
        "b": fields.Int(metadata={"order": "first", "widget": "dial", "unit": 3}),
        "c": fields.Field(metadata={**words, "media": "pictures", "examples": "x.txt"}),
        "d": fields.Str(metadata={"examples": [object(), "fits"], "advanced": 1}),
    }

def predict(**kwargs):
    return {}
"""


def test_files_that_cannot_be_served(serve: Serve, tmp_path):
    """A warning at the start for each; the others are served, with their numbers."""
    folder = tmp_path / "package"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "good.txt").write_text("good")
    (folder / "data" / "good.txt.gz").write_text("not named")
    (folder / "data" / "goes.txt").write_text("goes")
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    paths = [
        *("data/good.txt", "../secret.txt", "/etc/passwd", "link.txt", "loop.txt"),
        *("missing.txt", "data", "nul\0", "", "x" * 300, "data/goes.txt"),
        str(folder / "data" / "good.txt"),
    ]
    (folder / "model.py").write_text(MODEL.replace("EXAMPLES", repr(paths)))
    server = serve(f"--model=m={folder / 'model.py'}")
    statuses = [server.get(f"/v2/models/m/examples/{n}").status_code for n in range(13)]
    assert statuses == [200, *[404] * 9, 200, 200, 404]
    assert server.get("/v2/models/m/examples/0").text == "good"
    for path in ("../secret.txt", "/etc/passwd", "link.txt", "missing.txt", "data"):
        server.wait_for_output(f"WARNING .*m: the argument 'a' of predict: .*'{path}'")
    assert server.output.count("no example") == 9
    for name, word in (("b", "order"), ("b", "widget"), ("b", "unit"), ("c", "media")):
        server.wait_for_output(f"the argument '{name}' of predict: '{word}' is ignored")
    document = server.get("/openapi.json").json()
    body = document["paths"]["/v2/models/m/predict/"]["post"]["requestBody"]
    found = body["content"]["multipart/form-data"]["schema"]["properties"]
    assert [e["url"][-2:] for e in found["a"]["x-deepaas-examples"]] == [
        *("/0", "10", "11")
    ]
    assert found["b"] == {"type": "integer"}
    assert found["c"] == {"type": "string", "format": "binary"}
    assert found["d"] == {"type": "string", "examples": ["fits"]}
    # A file that is removed later is a 404 too, and so is a folder in its place.
    (folder / "data" / "goes.txt").unlink()
    assert server.get("/v2/models/m/examples/10").status_code == 404
    (folder / "data" / "goes.txt").mkdir()
    assert server.get("/v2/models/m/examples/10").status_code == 404


def test_paths_start_at_the_package(serve: Serve, tmp_path):
    """Also for a model in a package of its own within, or in a namespace."""
    for root in (tmp_path / "outer", tmp_path / "space" / "outer2"):
        (root / "inner").mkdir(parents=True)
        (root / "__init__.py").touch()
        (root / "inner" / "__init__.py").touch()
        (root / "data.txt").write_text(root.name)
        text = MODEL.replace("EXAMPLES", repr(["data.txt", "../data.txt"]))
        (root / "inner" / "api.py").write_text(text)
    env = {"PYTHONPATH": str(tmp_path)}
    server = serve(
        *("--model=a=outer.inner.api", "--model=b=space.outer2.inner.api"), env=env
    )
    assert server.get("/v2/models/a/examples/0").text == "outer"
    assert server.get("/v2/models/b/examples/0").text == "outer2"
    assert server.get("/v2/models/a/examples/1").status_code == 404
