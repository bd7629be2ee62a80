"""The log and the record of a running job on their way to the disk."""

import asyncio
import threading

import pytest

from deepaas.errors import StoreUnavailable
from deepaas.jobs import running, threads
from deepaas.jobs.records import Kind, new_job
from deepaas.jobs.running import MAX_LOG_BYTES, LogWriter, RecordWriter, merged
from deepaas.jobs.threads import DatabaseThreads, persist
from deepaas.progress import Batch, Report


def batch(latest, history, stride=1):
    def report(number):
        return Report(number, 1.0, number, None, {})

    return Batch(report(latest), [report(number) for number in history], stride)


def test_batches_are_merged():
    assert merged(None, batch(1, [0, 1])) == batch(1, [0, 1])
    assert merged(batch(1, [0, 1]), batch(3, [2])) == batch(3, [0, 1, 2])
    assert merged(batch(3, [0, 1, 2, 3]), batch(5, [4], 2)) == batch(5, [0, 2, 4], 2)


class Database:
    """Takes changes while it is open."""

    def __init__(self):
        self.open = asyncio.Event()
        self.tried = asyncio.Event()
        self.taken = []

    async def take(self, change):
        self.tried.set()
        if not self.open.is_set():
            raise StoreUnavailable("locked")
        self.taken.append(change)


async def test_changes_wait_for_the_database(monkeypatch):
    monkeypatch.setattr(running, "RECORD_RETRY_INTERVAL", 0.01)

    database = Database()
    writer = RecordWriter(database.take, database.take)
    first, second = (new_job(Kind.TRAIN, "m", {}) for _ in range(2))
    writer.change(first)
    writer.add_reports(batch(1, [0, 1]))
    await database.tried.wait()
    writer.change(second)
    writer.add_reports(batch(2, [2]))
    database.open.set()
    while len(database.taken) < 2:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.01)
    assert database.taken == [second, batch(2, [0, 1, 2])]
    assert await writer.close() is None


async def test_close_returns_what_is_not_stored():
    database = Database()
    writer = RecordWriter(database.take, database.take)
    writer.add_reports(batch(1, [0, 1]))
    await database.tried.wait()
    writer.add_reports(batch(2, [2]))
    assert await writer.close() == batch(2, [0, 1, 2])
    writer.change(new_job(Kind.TRAIN, "m", {}))
    assert database.taken == []


async def test_a_log_is_limited():
    pieces = []

    async def append(piece, start):
        assert start == sum(map(len, pieces))
        pieces.append(piece)

    log = LogWriter(append)
    written = log.written
    for _ in range(3):
        log.add_line("x" * (MAX_LOG_BYTES // 2))
    await log.flush()
    assert written.is_set()
    size = 2 * (MAX_LOG_BYTES // 2 + 1)
    assert size < len(b"".join(pieces)) < size + 100
    assert pieces[-1].endswith(b"(the log is too long; the rest is in the server's)\n")


async def test_a_log_that_cannot_be_written_goes_on():
    pieces = []

    async def append(piece, start):
        pieces.append(piece)
        if len(pieces) == 1:
            raise OSError

    log = LogWriter(append)
    for text in ("one", "two \ud800"):
        log.add_line(text)
        await log.flush()
    assert pieces == [b"one\n", b"two \\ud800\n"]


async def test_a_log_waits_for_the_database(monkeypatch):
    monkeypatch.setattr(running, "RECORD_RETRY_INTERVAL", 0.01)
    database = Database()
    log = LogWriter(lambda piece, start: database.take((piece, start)))
    log.add_line("one")
    assert not await log.flush()
    log.add_line("two")
    database.open.set()
    while not await log.flush():  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.01)
    log.add_line("three")
    assert await log.flush()
    assert database.taken == [(b"one\ntwo\n", 0), (b"three\n", 8)]


async def test_a_closed_log_waits_no_longer():
    database = Database()
    log = LogWriter(lambda piece, start: database.take((piece, start)))
    log.add_line("one")
    assert not await log.flush()
    log.close()
    while not await log.flush():  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.01)
    log.add_line("two")
    assert await log.flush()
    assert database.taken == []


async def test_writes_of_a_log_are_apart():
    pieces = []

    async def append(piece, start):
        pieces.append(piece)

    log = LogWriter(append, pause=60)
    log.add_line("one")
    await asyncio.sleep(0.01)
    for line in ("two", "three"):
        log.add_line(line)
    assert pieces == [b"one\n"]
    assert await log.flush()  # it does not wait for the pause
    assert pieces == [b"one\n", b"two\nthree\n"]


async def test_calls_that_wait_for_a_database_keep_their_order():
    threads = DatabaseThreads(1, "test", timeout=60)
    locked, calls = True, []

    def call(name):
        if locked:
            raise StoreUnavailable("locked")
        calls.append(name)

    waiting = [asyncio.create_task(threads.run(lambda n=n: call(n))) for n in "abc"]
    await asyncio.sleep(0)
    # A call that is not repeated does not wait for those that are.
    assert await threads.run(lambda: 1, repeat=False) == 1
    locked = False
    await asyncio.gather(*waiting)
    assert calls == ["a", "b", "c"]
    await threads.close()


async def test_calls_that_wait_for_a_database_fail_together():
    threads = DatabaseThreads(1, "test", timeout=0.3)
    loop = asyncio.get_running_loop()
    began = loop.time()

    def call():
        raise StoreUnavailable("locked")

    waiting = [threads.run(call) for _ in range(20)]
    failed = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(error) for error in failed} == {StoreUnavailable}
    assert loop.time() - began < 3  # not 20 times 0.3 s
    await threads.close()


async def test_a_result_waits_for_the_database(monkeypatch):
    monkeypatch.setattr(threads, "PERSIST_INTERVAL", 0.01)
    tries = []

    def call():
        tries.append(1)
        if len(tries) < 3:
            raise StoreUnavailable("away")
        return "stored"

    assert await persist(call, asyncio.Event()) == "stored"
    assert len(tries) == 3


async def test_a_result_is_given_up():
    given_up = asyncio.Event()

    def call():
        raise StoreUnavailable("away")

    waiting = asyncio.create_task(persist(call, given_up))
    await asyncio.sleep(0.01)
    given_up.set()
    with pytest.raises(StoreUnavailable):
        await waiting


async def test_a_cancelled_write_ends_before_its_task():
    written, go_on = [], threading.Event()

    def call():
        go_on.wait()
        written.append(1)

    waiting = asyncio.create_task(persist(call, asyncio.Event()))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert written
