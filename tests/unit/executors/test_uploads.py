"""Uploads of calls that run on another machine."""

from pathlib import Path

from deepaas.executors.messages import Call
from deepaas.executors.uploads import Uploads, has_uploads, paths_of, with_paths
from deepaas.model.v2.wrapper import UploadedFile

FILE = UploadedFile("scan", "/tmp/a/scan-1.nii.gz", "x/y", "scan.nii.gz")
OTHER = FILE._replace(filename="/tmp/b/scan-1.nii.gz")


def test_the_paths_of_files_are_those_of_the_node():
    uploads = Uploads("/node", 7)
    kwargs = {"scan": FILE, "more": [OTHER, FILE], "n": 3, "names": ["scan"]}
    moved = uploads.moved(kwargs)
    assert moved == {
        "scan": FILE._replace(filename="/node/7-0-scan-1.nii.gz"),
        "more": [
            FILE._replace(filename="/node/7-1-scan-1.nii.gz"),
            FILE._replace(filename="/node/7-2-scan-1.nii.gz"),
        ],
        "n": 3,
        "names": ["scan"],
    }
    assert uploads.files == [
        ("/tmp/a/scan-1.nii.gz", "7-0-scan-1.nii.gz"),
        ("/tmp/b/scan-1.nii.gz", "7-1-scan-1.nii.gz"),
        ("/tmp/a/scan-1.nii.gz", "7-2-scan-1.nii.gz"),
    ]
    assert kwargs["more"] == [OTHER, FILE]


def test_calls_without_uploads():
    assert has_uploads(Call("predict", {"n": 1, "more": [FILE]}))
    assert has_uploads(Call("predict", {}, packed=b"x", uploads=[("/a", "/a")]))
    assert not has_uploads(Call("predict", {"n": 1, "more": [1, "x"], "none": None}))


def test_the_files_of_arguments_that_only_the_worker_unpickles():
    uploads = Uploads("/node", 7)
    call = Call("predict", {}, packed=b"x", uploads=[("/tmp/a/b.gz", "/tmp/a/b.gz")])
    assert uploads.moved_call(call) == call._replace(
        uploads=[("/tmp/a/b.gz", "/node/7-0-b.gz")]
    )
    assert uploads.files == [("/tmp/a/b.gz", "7-0-b.gz")]


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
