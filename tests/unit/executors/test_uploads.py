"""Uploads of calls that run on another machine."""

from deepaas.executors.uploads import Uploads, has_uploads
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
    assert has_uploads({"n": 1, "more": [FILE]})
    assert not has_uploads({"n": 1, "more": [1, "x"], "none": None})
