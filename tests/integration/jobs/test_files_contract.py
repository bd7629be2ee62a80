"""The contract of `Files`: every class that keeps the files of jobs passes these tests.

Another class joins by its factory in `make`.
"""

import contextlib
import uuid

import pytest

from deepaas.errors import NoSpace, StartError
from deepaas.jobs import database_files
from deepaas.jobs.database import Database
from deepaas.jobs.database_files import DatabaseFiles
from deepaas.jobs.files import FolderFiles, Part, SharedFolderFiles

JOB = uuid.uuid4().hex
OTHER = uuid.uuid4().hex


@pytest.fixture(params=["folder", "shared folder", "postgresql"])
def make(request, tmp_path):
    """Makes files that are all in one place."""
    if request.param == "folder":
        yield lambda: FolderFiles(tmp_path / "state")
    elif request.param == "shared folder":
        yield lambda: SharedFolderFiles(tmp_path / "state")
    else:
        url = request.getfixturevalue("database_url")
        with contextlib.closing(Database(url)) as database:
            yield lambda: DatabaseFiles(database, tmp_path / "copies")


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
    assert files.size(JOB, part) is None
    assert files.having(part) == []
    assert files.unfinished() == []
    files.remove([JOB], [part])


@pytest.mark.parametrize("source", [b"bytes", memoryview(b"a view"), b""])
def test_bytes_are_put(files, part, source):
    files.put(JOB, part, b"before, and longer")
    files.put(JOB, part, source)
    assert content(files, part) == bytes(source)
    found = files.open(JOB, part)
    assert (found.size, found.path.read_bytes()) == (len(source), bytes(source))
    assert files.size(JOB, part) == len(source)
    if found.is_copy:
        found.path.unlink()


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
        assert files.unfinished() == [JOB]
        files.remove_unfinished([OTHER])
        assert files.having(Part.DRAFT) == [JOB]
        files.remove_unfinished([JOB])
        for each in set(Part) - {Part.DRAFT}:
            assert content(files, each) == each.value.encode()
        assert files.having(Part.DRAFT) == []


def test_a_draft_is_finished_twice(files):
    files.append(JOB, Part.DRAFT, b"one")
    files.finish_draft(JOB)
    with contextlib.suppress(OSError):  # a folder fails, and keeps the result
        files.finish_draft(JOB)
    assert len(content(files, Part.RESULT)) in (0, 3)


# -- PostgreSQL alone


@pytest.fixture
def in_database(database_url, tmp_path):
    with contextlib.closing(Database(database_url)) as database:
        yield DatabaseFiles(database, tmp_path / "copies")


def test_a_repeated_piece_is_added_once(in_database, part):
    for data in (b"one", b"one and more"):
        in_database.append(JOB, part, data, 0)
    for data in (b"!", b"!"):
        in_database.append(JOB, part, data, 12)
    assert content(in_database, part) == b"one and more!"


def test_a_large_file_has_several_rows(in_database, tmp_path, monkeypatch):
    monkeypatch.setattr(database_files, "ROW_BYTES", 1000)
    data = bytes(range(256)) * 20
    (tmp_path / "source").write_bytes(data)
    in_database.append(JOB, Part.LOG, data)
    in_database.append(JOB, Part.LOG, b"end")
    in_database.put(JOB, Part.RESULT, data)
    in_database.put(OTHER, Part.RESULT, tmp_path / "source")
    for uuid_, part in (JOB, Part.RESULT), (OTHER, Part.RESULT), (JOB, Part.LOG):
        for start, size in (0, 5120), (1, 998), (999, 2), (1000, 1000), (2500, 2600):
            read = in_database.read(uuid_, part, start, size)
            assert read == data[start : start + size]
        copy = in_database.open(uuid_, part)
        assert copy.path.read_bytes()[:5120] == data
        copy.path.unlink()
    assert in_database.read(JOB, Part.LOG, 5119, 99) == data[-1:] + b"end"


def test_a_file_that_is_too_large(in_database, monkeypatch):
    monkeypatch.setattr(database_files, "MAX_FILE_BYTES", 10)
    in_database.put(JOB, Part.RESULT, b"before")
    with pytest.raises(NoSpace, match="--files-dir"):
        in_database.put(JOB, Part.RESULT, b"x" * 11)
    in_database.append(JOB, Part.DRAFT, b"x" * 10)
    with pytest.raises(NoSpace, match="--files-dir"):
        in_database.append(JOB, Part.DRAFT, b"x")
    assert content(in_database, Part.RESULT) == b"before"


def test_copies_that_were_being_sent_are_removed(in_database, tmp_path, database_url):
    in_database.put(JOB, Part.RESULT, b"1")
    left = in_database.open(JOB, Part.RESULT).path
    with contextlib.closing(Database(database_url)) as database:
        DatabaseFiles(database, tmp_path / "copies")
    assert not left.exists()


# -- a folder alone


def test_a_folder_that_is_shared(tmp_path):
    one, other = SharedFolderFiles(tmp_path), SharedFolderFiles(tmp_path)
    one.append(JOB, Part.LOG, b"1")
    assert content(other, Part.LOG) == b"1"
    with contextlib.closing(FolderFiles(tmp_path)) as own:  # the state folder of one
        assert content(own, Part.LOG) == b"1"


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
