"""Waits for calls that one caller has made together, and cleans up after callers."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence

from deepaas.errors import RowFailed
from deepaas.executors.calls import PendingCall
from deepaas.executors.messages import Reply


async def wait_together(
    calls: Sequence[PendingCall], abandon: Callable[[PendingCall], Awaitable[None]]
) -> list[Reply]:
    """Return the replies to all calls; `abandon` ends a call without a caller.

    The first call that fails ends the others. Raises RowFailed. It returns when those
    that run have finished: their files must not be removed before.
    """
    outcomes = [call.outcome for call in calls]
    try:
        await asyncio.wait(outcomes, return_when=asyncio.FIRST_EXCEPTION)
        for number, outcome in enumerate(outcomes):
            if outcome.done() and (error := outcome.exception()) is not None:
                raise RowFailed(number, error)
        return [outcome.result() for outcome in outcomes]
    finally:
        await _abandon_all(calls, abandon)


async def _abandon_all(
    calls: Sequence[PendingCall], abandon: Callable[[PendingCall], Awaitable[None]]
) -> None:
    left = []
    for call in calls:
        if not call.outcome.done():
            call.outcome.cancel()
            left.append(abandon(call))
        elif not call.outcome.cancelled():
            call.outcome.exception()  # asyncio would log one that is not read
    if left:
        await asyncio.gather(*left, return_exceptions=True)


async def discard(reply: Reply) -> None:
    """Remove the file or the stream of a reply without a reader."""
    if reply.delete and reply.path:
        os.unlink(reply.path)
    if reply.stream is not None:
        await reply.stream.aclose()
