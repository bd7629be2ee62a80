"""Files that are given to a model."""

from __future__ import annotations

import pytest

from tests.acceptance.cli.conftest import HERE, THREE


def test_files(cli, tmp_path):
    (tmp_path / "a.csv").write_text("A")
    (tmp_path / "b.nii.gz").write_text("B")
    given = ["--image", "a.csv", "--many", "a.csv", "b.nii.gz", "--many=a.csv"]
    done = cli.model("files", "predict", *given, cwd=tmp_path)
    files = done.json()
    assert files["image"] == {
        "name": "image",
        "filename": "a.csv",
        "content_type": "text/csv",
        "original_filename": "a.csv",
        "content": "A",
    }
    assert [file["filename"] for file in files["many"]] == [
        *("a.csv", "b.nii.gz", "a.csv")
    ]
    assert [file["content"] for file in files["many"]] == ["A", "B", "A"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "argument --data: No such file: missing.png"),
        (["/"], "argument --data: Is not a regular file: /"),
        (["/dev/null"], "argument --data: Is not a regular file: /dev/null"),
        ([THREE, "--data", THREE], "argument --data: Takes one file, not several."),
    ],
)
def test_a_file_that_cannot_be_given(cli, words, message):
    done = cli.model("upload", "predict", "--data", *words)
    assert (done.code, done.stdout) == (2, b"")
    assert done.stderr == f"deepaas-cli: {message}\n"


@pytest.mark.parametrize("place", [(), (HERE,)])
def test_the_original_is_never_deleted(cli, place):
    # in the temporary directory, where a model's own files are deleted
    original = cli.temporary / "original.bin"
    for size in (10, 3_000_000):
        original.write_bytes(b"x" * size)
        for words in ([], ["--delete=1"]):
            call = ("predict", "--data", original, *words)
            assert cli.model("spoils_input", *place, *call).code == 0
            assert original.read_bytes() == b"x" * size
    original.unlink()
