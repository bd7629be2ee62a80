"""The contract of `Files`: every class that keeps the files of jobs passes these tests.

Another class joins by its factory in FACTORIES.
"""

import contextlib
import uuid

import pytest

from deepaas.errors import NoSpace, StartError
from deepaas.jobs.files import FolderFiles, Part

JOB = uuid.uuid4().hex
OTHER = uuid.uuid4().hex

FACTORIES = [pytest.param(lambda folder: FolderFiles(folder / "state"), id="folder")]


@pytest.fixture(params=FACTORIES)
def make(request, tmp_path):
    return lambda: request.param(tmp_path)


@pytest.fixture
def files(make):
    with contextlib.closing(make()) as files:
        yield files


@pytest.fixture(params=list(Part))
def part(request):
    return request.param


def content(files, part, job=JOB):
    return files.read(job, part, 0, 2**20)


def test_a_file_grows_and_is_read_in_pieces(files, part):
    for piece in (b"one\n", b"", b"two\n", b"\0\xff"):
        files.append(JOB, part, piece)
    assert content(files, part) == b"one\ntwo\n\0\xff"
    assert files.read(JOB, part, 4, 3) == b"two"
    assert files.read(JOB, part, 10, 5) == b""
    assert files.read(JOB, part, 99, 5) == b""
    assert content(files, part, OTHER) == b""


def test_no_file(files, part):
    assert content(files, part) == b""
    assert files.open(JOB, part) is None
    assert files.having(part) == []
    files.remove([JOB], [part])


@pytest.mark.parametrize("source", [b"bytes", memoryview(b"a view"), b""])
def test_bytes_are_put(files, part, source):
    files.put(JOB, part, b"before, and longer")
    files.put(JOB, part, source)
    assert content(files, part) == bytes(source)
    found = files.open(JOB, part)
    assert (found.size, found.path.read_bytes()) == (len(source), bytes(source))


@pytest.mark.parametrize("move", [False, True])
def test_a_file_is_put(files, tmp_path, move):
    source = tmp_path / "a source"
    source.write_bytes(b"content")
    files.put(JOB, Part.RESULT, source, move=move)
    assert content(files, Part.RESULT) == b"content"
    assert source.exists() is not move


def test_a_file_that_cannot_be_put_leaves_what_was(files, tmp_path):
    files.put(JOB, Part.RESULT, b"before")
    with pytest.raises(OSError, match="No such file"):
        files.put(JOB, Part.RESULT, tmp_path / "missing", move=True)
    assert content(files, Part.RESULT) == b"before"
    assert files.having(Part.DRAFT) == []


@pytest.mark.parametrize("pieces", [[b"one", b"two"], []])
def test_a_draft_becomes_the_result(files, pieces):
    for piece in pieces:
        files.append(JOB, Part.DRAFT, piece)
    assert files.open(JOB, Part.RESULT) is None
    files.finish_draft(JOB)
    assert content(files, Part.RESULT) == b"".join(pieces)
    assert files.open(JOB, Part.RESULT).size == len(b"".join(pieces))
    assert files.open(JOB, Part.DRAFT) is None


def test_the_jobs_that_have_a_part(files, part):
    for job in (JOB, OTHER):
        files.put(job, part, b"1")
    assert sorted(files.having(part)) == sorted([JOB, OTHER])
    assert [other for other in Part if files.having(other)] == [part]


def test_files_are_removed(files, part):
    for each in Part:
        files.put(JOB, each, b"1")
        files.put(OTHER, each, b"2")
    files.remove([JOB], [part])
    assert [each for each in Part if files.having(each) == [OTHER]] == [part]
    files.remove([JOB])
    for each in Part:
        assert files.having(each) == [OTHER]
        assert content(files, each, OTHER) == b"2"


def test_the_next_server_finds_all_but_drafts(make):
    with contextlib.closing(make()) as files:
        for each in Part:
            files.append(JOB, each, each.value.encode())
    with contextlib.closing(make()) as files:
        files.remove_drafts()
        for each in set(Part) - {Part.DRAFT}:
            assert content(files, each) == each.value.encode()
        assert files.having(Part.DRAFT) == []


# -- a folder alone


def test_a_folder_is_used_by_one_server(tmp_path):
    with contextlib.closing(FolderFiles(tmp_path)):
        with pytest.raises(StartError, match="another server"):
            FolderFiles(tmp_path)
        with contextlib.closing(FolderFiles(tmp_path / "other")):
            pass
    FolderFiles(tmp_path).close()


@pytest.mark.parametrize("part", [Part.LOG, Part.RESULT])
def test_a_full_disk(tmp_path, part):
    with contextlib.closing(FolderFiles(tmp_path)) as files:
        files.append(JOB, part, b"")
        path = files.open(JOB, part).path
        path.unlink()
        path.symlink_to("/dev/full")
        with pytest.raises(NoSpace):
            files.append(JOB, part, b"x")
