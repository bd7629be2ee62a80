"""From what a model returned to a reply, without a worker."""

import gzip
import io
import os
import tempfile
import time
from pathlib import Path

import pytest

from deepaas.errors import NoSpace
from deepaas.executors.messages import Envelope
from deepaas.executors.replies import (
    MAX_IN_MEMORY_BYTES,
    concrete,
    is_json,
    is_media_type,
    make_reply,
    remove_unfinished,
    without_parameters,
)
from deepaas.model.v2.wrapper import ReturnedFile

BINARY = "application/octet-stream"


def reply(value, media_type=None, **options):
    options = {
        "validate": None,
        "envelope": Envelope.TEXT,
        "given": {},
        "started": time.time(),
        **options,
    }
    return make_reply(value, media_type=media_type, **options)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files, which is empty in the end."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("envelope", "value", "body"),
    [
        (Envelope.TEXT, [1, None], b'{"status":"OK","predictions":"[1,null]"}'),
        (Envelope.TEXT, "a", b'{"status":"OK","predictions":"a"}'),
        (Envelope.JSON, [1, None], b'{"status":"OK","predictions":[1,null]}'),
        (Envelope.NONE, "a", b'"a"'),
        (Envelope.NONE, float("nan"), b"null"),
    ],
)
def test_a_value_in_its_envelope(envelope, value, body):
    for media_type in (None, "application/json", "application/x+json; a=b"):
        made = reply(value, media_type, envelope=envelope)
        assert (made.media_type, made.body) == (media_type or "application/json", body)


def test_an_answer_is_checked_by_its_schema():
    asked = []

    def validate(value, many):
        asked.append(many)
        return {} if value in ({"n": 1}, [{"n": 1}]) else {"n": ["no"]}

    assert reply({"n": 1}, validate=validate).body == b'{"n":1}'
    assert reply([{"n": 1}], validate=validate).body == b'[{"n":1}]'
    with pytest.raises(ValueError, match=r'does not fit its schema: {"n":\["no"\]}'):
        reply({"n": 2}, validate=validate)
    assert asked == [False, True, False]


@pytest.mark.parametrize(
    ("value", "media_type", "chosen", "body"),
    [
        ("é\ud800", "text/csv", "text/csv; charset=utf-8", "é?".encode()),
        ("x", "text/csv; charset=x", "text/csv; charset=x", b"x"),
        ("x", "text/*", "text/plain; charset=utf-8", b"x"),
        ("x", "*/*", "text/plain; charset=utf-8", b"x"),
        ("x", "image/svg+xml", "image/svg+xml", b"x"),
        (None, "image/png", "image/png", b""),
        (None, "image/*", BINARY, b""),
        (b"\xff", "image/png", "image/png", b"\xff"),
        (bytearray(b"x"), None, BINARY, b"x"),
        (memoryview(b"x"), "application/json", BINARY, b"x"),
        (io.StringIO("é"), None, BINARY, "é".encode()),
    ],
)
def test_what_is_sent_as_it_is(value, media_type, chosen, body):
    made = reply(value, media_type)
    assert (made.media_type, made.body) == (chosen, body)


@pytest.mark.parametrize("value", [{"a": 1}, 7, [1]])
def test_a_value_that_the_chosen_type_cannot_hold(value):
    kind = type(value).__name__
    with pytest.raises(TypeError, match=f"returned a {kind} for image/png"):
        reply(value, "image/png")


def test_a_file_from_where_it_stands():
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    assert reply(file).body == b"456789"
    assert file.closed


@pytest.mark.parametrize("mode", ["rb", "r", "r+"])
def test_a_file_of_the_author_is_left_alone(tmp_path, temporary, mode):
    path = tmp_path / "table.csv"
    path.write_bytes(b"a\r\n")
    made = reply(path.open(mode))
    assert (made.media_type, made.body) == ("text/csv", b"a\r\n")
    assert (made.filename, made.path) == ("table.csv", None)
    assert path.exists()


def test_a_file_that_was_opened_for_writing(tmp_path, temporary):
    file = (tmp_path / "a.bin").open("wb")
    file.write(b"x")
    file.seek(0)
    assert reply(file).body == b"x"


def test_a_large_file_is_sent_by_its_path(tmp_path, temporary):
    path = tmp_path / "large.bin"
    path.write_bytes(b"x" * (MAX_IN_MEMORY_BYTES + 1))
    late = os.stat(path).st_ctime + 10
    made = reply(path, started=late)
    assert (made.path, made.delete, made.body) == (str(path), False, None)
    copied = reply(path, started=0)  # this call may have written it
    assert copied.delete
    assert copied.path.startswith(str(temporary))
    assert os.stat(copied.path).st_size == MAX_IN_MEMORY_BYTES + 1
    os.unlink(copied.path)


def test_a_temporary_file_is_moved_or_read(temporary):
    large = tempfile.NamedTemporaryFile(delete=False)  # noqa: SIM115 - closed
    large.write(b"x" * (MAX_IN_MEMORY_BYTES + 1))
    large.seek(0)
    made = reply(large)
    assert made.delete
    assert [str(path) for path in temporary.iterdir()] == [made.path]
    os.unlink(made.path)
    with tempfile.NamedTemporaryFile(delete=False) as small:
        small.write(b"x")
    assert reply(Path(small.name)).body == b"x"


def test_a_file_that_has_no_path_is_copied_if_it_is_large(tmp_path, temporary):
    path = tmp_path / "a.gz"
    content = b"x" * (2 * MAX_IN_MEMORY_BYTES + 7)
    path.write_bytes(gzip.compress(content))
    with gzip.open(path) as file:
        made = reply(file)
    assert Path(made.path).read_bytes() == content
    os.unlink(made.path)


def test_a_disk_that_is_full_leaves_nothing(temporary):
    class Full(io.RawIOBase):
        def readable(self):
            return True

        def read(self, size=-1):
            if self.tells_of_it:
                raise OSError(28, "No space left on device")
            self.tells_of_it = True
            return b"x" * (MAX_IN_MEMORY_BYTES + 1)

        tells_of_it = False

    with pytest.raises(NoSpace, match="no space on the server's disk"):
        reply(Full())


def test_a_returned_file_says_its_type_and_name(tmp_path, temporary):
    path = tmp_path / "a"
    path.write_bytes(b"x")
    made = reply(ReturnedFile("n", str(path), "text/csv", "mine.csv"), "image/png")
    assert (made.media_type, made.filename) == ("text/csv", "mine.csv")
    odd = reply(ReturnedFile("n", str(path), "no type\r\n", None), "image/png")
    assert (odd.media_type, odd.filename) == ("image/png", "a")


def test_what_a_killed_worker_left_is_removed(temporary):
    (temporary / "deepaas-77-abc.part").touch()
    other = temporary / "deepaas-7-abc.part"
    other.touch()
    remove_unfinished(77)
    assert list(temporary.iterdir()) == [other]
    other.unlink()


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        ("a/b", True),
        ("a/b; c=d", True),
        ("application/vnd.x+json", True),
        ("a", False),
        ("a/", False),
        ("a/b c", False),
        ("a/b\n", False),
        ("a/b; c=\u00e9", False),
        ("", False),
    ],
)
def test_what_is_a_media_type(text, media_type):
    assert is_media_type(text) is media_type


def test_media_types():
    assert is_json("Application/JSON; charset=x")
    assert is_json("a/b+json")
    assert not is_json("application/jsonx")
    assert without_parameters(" A/B ; c") == "a/b"
    assert concrete("image/*", "a.png") == "image/png"
    assert concrete("image/*", None) == BINARY
    assert concrete(None, "a.csv", text=True) == "text/csv; charset=utf-8"
