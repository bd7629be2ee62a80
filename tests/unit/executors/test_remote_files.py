"""Files of calls on their way between the server and a place."""

import asyncio

import pytest

from deepaas.errors import NoSpace, WorkerDied
from deepaas.executors.place_messages import MAX_UNWRITTEN_PIECES, Upload
from deepaas.executors.remote_files import FileReceiver, FileSender


async def receive(path, *pieces, lost=None):
    """Return the error, and the times at which the place was told to wait."""
    pauses = []
    receiver = FileReceiver(str(path), pauses.append)
    for piece in pieces:
        receiver.feed(piece)
        await asyncio.sleep(0)
    if lost is not None:
        receiver.lose(lost)
    failed = asyncio.get_running_loop().create_future()
    receiver.end(failed.set_result)
    return await asyncio.wait_for(failed, 5), pauses


@pytest.mark.parametrize("pieces", [[], [b"a"], [b"a" * 2**20, b"b" * 2**20, b"c"]])
async def test_a_file_is_written(tmp_path, pieces):
    path = tmp_path / "loaded"
    path.write_bytes(b"what was there before")
    failed, _ = await receive(path, *pieces)
    assert failed is None
    assert path.read_bytes() == b"".join(pieces)


async def test_a_file_that_the_server_has_removed(tmp_path):
    failed, pauses = await receive(tmp_path / "gone", b"a" * 2**20, b"b" * 2**20)
    assert failed.status == 500
    assert "cannot be written" in str(failed)
    assert not (tmp_path / "gone").exists()
    assert not pauses or pauses[-1] is False  # the place must go on


async def test_a_full_disk():
    failed, pauses = await receive("/dev/full", b"a" * 2**20, b"b" * 2**20)
    assert isinstance(failed, NoSpace)
    assert not pauses or pauses[-1] is False


async def test_the_rest_is_lost(tmp_path):
    path = tmp_path / "loaded"
    path.touch()
    lost = WorkerDied("it died")
    failed, _ = await receive(path, b"a", lost=lost)
    assert failed is lost


async def test_few_pieces_are_on_their_way_at_once(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"x" * (MAX_UNWRITTEN_PIECES + 2) * 2**20)
    sent = asyncio.Queue()
    sender = FileSender(lambda *message: sent.put_nowait(message))
    sending = asyncio.create_task(sender.send(3, str(path), "name"))
    for _ in range(MAX_UNWRITTEN_PIECES):
        message, data = await asyncio.wait_for(sent.get(), 5)
        assert (message, len(data)) == (Upload(3, "name"), 2**20)
    sender.note_written(4)  # of another call
    await asyncio.sleep(0.05)
    assert sent.empty()
    sender.note_written(3)
    sender.note_written(3)
    await asyncio.wait_for(sending, 5)
    assert sent.qsize() == 2


async def test_an_empty_file_is_sent(tmp_path):
    path = tmp_path / "empty"
    path.touch()
    sent = []
    sender = FileSender(lambda message, data: sent.append((message, data)))
    await sender.send(3, str(path), "name")
    assert sent == [(Upload(3, "name"), b"")]
