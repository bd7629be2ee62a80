"""The files of calls that run on another machine."""

from pathlib import Path

from deepaas.arguments.outcome import JSONFile, Values
from deepaas.executors.messages import DESCRIBE, LOAD, Call
from deepaas.executors.uploads import CallFiles, has_files, paths_of, with_paths
from deepaas.model.v2.wrapper import UploadedFile

FILE = UploadedFile("scan", "/tmp/a/scan-1.nii.gz", "x/y", "scan.nii.gz")
OTHER = FILE._replace(filename="/tmp/b/scan-1.nii.gz")

BODY = JSONFile("/tmp/body", "utf-8", "/tmp/loaded", query=(), strict=False)


def test_the_paths_of_files_are_those_of_the_node():
    files = CallFiles("/node", 7)
    kwargs = {"scan": FILE, "more": [OTHER, FILE], "n": 3, "names": ["scan"]}
    moved = files.moved_call(Call("predict", kwargs))
    assert moved.kwargs == {
        "scan": FILE._replace(filename="/node/7-0-scan-1.nii.gz"),
        "more": [
            FILE._replace(filename="/node/7-1-scan-1.nii.gz"),
            FILE._replace(filename="/node/7-2-scan-1.nii.gz"),
        ],
        "n": 3,
        "names": ["scan"],
    }
    assert files.sent == [
        ("/tmp/a/scan-1.nii.gz", "7-0-scan-1.nii.gz"),
        ("/tmp/b/scan-1.nii.gz", "7-1-scan-1.nii.gz"),
        ("/tmp/a/scan-1.nii.gz", "7-2-scan-1.nii.gz"),
    ]
    assert kwargs["more"] == [OTHER, FILE]


def test_calls_without_files():
    assert has_files(Call("predict", {"n": 1, "more": [FILE]}))
    assert has_files(Call("predict", {}, packed=b"x", uploads=[("/a", "/a")]))
    assert has_files(Call("predict", {}, packed="/tmp/loaded"))
    assert has_files(Call(LOAD, {"given": Values({}, file=BODY)}))
    assert not has_files(Call("predict", {"n": 1, "more": [1, "x"], "none": None}))
    assert not has_files(Call("predict", {}, packed=b"x"))
    assert not has_files(Call(LOAD, {"given": Values({"n": 1})}))
    assert not has_files(Call(DESCRIBE, {}))


def test_the_files_of_arguments_that_only_the_worker_unpickles():
    files = CallFiles("/node", 7)
    call = Call("predict", {}, packed=b"x", uploads=[("/tmp/a/b.gz", "/tmp/a/b.gz")])
    assert files.moved_call(call) == call._replace(
        uploads=[("/tmp/a/b.gz", "/node/7-0-b.gz")]
    )
    assert files.sent == [("/tmp/a/b.gz", "7-0-b.gz")]


def test_arguments_that_were_loaded_into_a_file():
    files = CallFiles("/node", 7)
    call = Call("predict", {}, packed="/tmp/loaded", uploads=[("/tmp/a", "/tmp/a")])
    assert files.moved_call(call) == call._replace(
        packed="/node/7-0-loaded", uploads=[("/tmp/a", "/node/7-1-a")]
    )
    assert files.sent == [("/tmp/loaded", "7-0-loaded"), ("/tmp/a", "7-1-a")]
    assert files.returned is None


def test_a_body_comes_back_as_loaded_arguments():
    files = CallFiles("/node", 7)
    call = Call(LOAD, {"given": Values({"n": 1}, file=BODY), "method": "predict"})
    moved = files.moved_call(call).kwargs["given"]
    assert moved.file.path == "/node/7-0-body"
    assert moved.file.loaded == "/node/7-1-loaded"
    assert moved.values == {"n": 1}
    assert files.sent == [(BODY.path, "7-0-body"), (BODY.loaded, "7-1-loaded")]
    assert files.returned == (BODY.loaded, "7-1-loaded")
    assert call.kwargs["given"].file == BODY


def test_the_worker_gives_the_model_the_paths_on_the_node():
    paths = {FILE.filename: "/node/1", "/tmp/a/other": "/node/2"}
    here = FILE._replace(filename="/node/1")
    assert with_paths(FILE, paths) == here
    assert with_paths([FILE, 3, {"a": FILE}], paths) == [here, 3, {"a": here}]
    assert with_paths(Path("/tmp/a/other"), paths) == Path("/node/2")
    assert with_paths((Path("/else"), "/tmp/a/other"), paths) == (
        Path("/else"),
        "/tmp/a/other",
    )


def test_the_paths_of_values():
    values = {
        "a": FILE,
        "b": [OTHER, FILE],
        "c": [],
        "d": [1],
        "e": FILE._replace(filename=None),
    }
    assert paths_of(values) == [FILE.filename, OTHER.filename, FILE.filename]
