"""Notices between servers: who is woken, and when none come."""

import asyncio

from deepaas.errors import StoreUnavailable
from deepaas.jobs import notices
from deepaas.jobs.notices import JOB, LOG, Notices


def source(*batches):
    """Gives a source that yields one batch for each connection, then fails."""
    left = list(batches)

    async def listen():
        batch = left.pop(0) if left else None
        if batch is None:
            await asyncio.Event().wait()
        for notice in batch:
            yield notice
        raise StoreUnavailable("the connection is lost")

    return listen


async def listening(made, cancelled=None):
    return asyncio.create_task(
        made.listen([].append if cancelled is None else cancelled.append)
    )


async def test_a_notice_wakes_those_who_wait_for_it():
    made = Notices("me", source(["job 1", "log 2", "cancel 3", "odd"]), silence=60)
    job, log_of_job, log, other = (
        made.event(*name) for name in ((JOB, "1"), (LOG, "1"), (LOG, "2"), (JOB, "2"))
    )
    assert made.event(JOB, "1") is job
    cancelled = []
    task = await listening(made, cancelled)
    for event in (job, log_of_job, log):
        await asyncio.wait_for(event.wait(), 5)
    assert cancelled == ["3"]
    await asyncio.wait_for(other.wait(), 5)  # the connection is lost
    assert made.event(JOB, "1") is not job
    task.cancel()


async def test_its_own_notice_proves_that_notices_come(monkeypatch):
    monkeypatch.setattr(notices, "RECONNECT_INTERVAL", 0.01)
    heard = asyncio.Event()

    async def listen():
        yield "server another"
        assert not made.come
        yield "server me"
        assert made.come
        heard.set()
        await asyncio.Event().wait()

    made = Notices("me", listen, silence=60)
    assert not made.come
    task = await listening(made)
    await asyncio.wait_for(heard.wait(), 5)
    task.cancel()


async def test_silence_means_that_no_notices_come():
    made = Notices("me", source(["server me"]), silence=0)
    task = await listening(made)
    event = made.event(JOB, "1")
    await asyncio.wait_for(event.wait(), 5)
    assert not made.come
    task.cancel()


async def test_a_lost_connection_is_made_again(monkeypatch):
    monkeypatch.setattr(notices, "RECONNECT_INTERVAL", 0.01)
    made = Notices("me", source([], [], ["cancel 1"]), silence=60)
    cancelled = []
    task = await listening(made, cancelled)
    while not cancelled:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.01)
    task.cancel()


async def test_no_source():
    made = Notices("me", None, silence=60)
    await made.listen([].append)
    assert not made.come
    event = made.event(JOB, "1")
    made.wake_all()
    assert event.is_set()
