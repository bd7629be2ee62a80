"""Turns what a model yields into the pieces of a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from deepaas.encoding import encode_json
from deepaas.executors.replies import Validate, check, text_bytes
from deepaas.media_types import (
    EVENT_STREAM,
    NDJSON,
    concrete,
    is_json,
    without_parameters,
)
from deepaas.sse import encode_event, encode_text_event

if TYPE_CHECKING:
    import asyncio


def is_iterator(value: Any) -> bool:
    """Tell whether a value yields items."""
    return isinstance(value, Iterator | AsyncIterator)


def stream_type(media_type: str | None) -> str:
    """Return the media type of a stream by the caller's choice, None for none."""
    if media_type is None or is_json(media_type):
        return NDJSON
    return concrete(media_type, None)


def encoder(media_type: str, validate: Validate | None) -> Callable[[Any], bytes]:
    """Return the function that encodes an item as a piece of the stream.

    NDJSON (one line an item) and server-sent events take any item with a JSON form,
    which `validate` checks; any other type takes bytes and str. Raises TypeError or
    ValueError for an item that cannot be sent.
    """

    def line(item: Any) -> bytes:
        return check(encode_json(item), validate) + b"\n"

    def event(item: Any) -> bytes:
        if isinstance(item, str):
            return encode_text_event(item)
        return encode_event(check(encode_json(item), validate))

    def chunk(item: Any) -> bytes:
        if isinstance(item, str):
            return text_bytes(item)
        if isinstance(item, bytes | bytearray | memoryview):
            return bytes(item)
        raise TypeError(f"the model yielded a {type(item).__name__} for {media_type}")

    kinds = {NDJSON: line, EVENT_STREAM: event}
    return kinds.get(without_parameters(media_type), chunk)


async def _next(items: AsyncIterator[Any]) -> Any:
    return await anext(items)


class InTurn(Iterator[Any]):
    """Iterates over what comes in an event loop."""

    def __init__(
        self, items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop
    ) -> None:
        self._items = items
        self._loop = loop
        self._step: asyncio.Future[Any] | None = None
        self._cancelled = False

    def __next__(self) -> Any:
        self._step = self._loop.create_task(_next(self._items))
        if self._cancelled:
            self._step.cancel()
        try:
            return self._loop.run_until_complete(self._step)
        except StopAsyncIteration:
            raise StopIteration from None

    def cancel(self) -> None:
        """Cancel the step that runs, or the next; callable from a signal handler."""
        self._cancelled = True
        if self._step is not None:
            self._loop.call_soon_threadsafe(self._step.cancel)

    def close(self) -> None:
        """Close the asynchronous iterator."""
        if isinstance(self._items, AsyncGenerator):
            self._loop.run_until_complete(self._items.aclose())
