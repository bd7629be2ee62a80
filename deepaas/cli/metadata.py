"""Reads the metadata of a model for deepaas-cli."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Mapping
from typing import Any

from deepaas.model.adapter import ModelAdapter
from deepaas.model.description import default_metadata

logger = logging.getLogger(__name__)

METADATA_SECONDS = 10.0
"""Seconds that a model has to describe itself."""


async def read_metadata(adapter: ModelAdapter) -> Mapping[str, Any]:
    """Read a model's metadata, in a thread that may hang without keeping the process.

    A model that takes too long is described by its name.
    """
    loop = asyncio.get_running_loop()
    read: asyncio.Future[Mapping[str, Any]] = loop.create_future()

    def run() -> None:
        metadata = adapter.read_metadata()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(read.set_result, metadata)

    threading.Thread(target=run, daemon=True).start()
    try:
        return await asyncio.wait_for(asyncio.shield(read), METADATA_SECONDS)
    except asyncio.TimeoutError:
        logger.warning("%s: get_metadata takes too long", adapter.name)
        return default_metadata(adapter.name)
