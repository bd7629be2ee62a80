"""Notices from PostgreSQL. The only module that uses its driver itself."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from deepaas.errors import StoreUnavailable
from deepaas.jobs.notices import CHANNEL


async def listen(arguments: Mapping[str, Any]) -> AsyncIterator[str]:
    """Yields the notices that come, on a connection of its own.

    `arguments` are those of the connection. Raises StoreUnavailable when the connection
    cannot be made, or is lost.
    """
    import psycopg  # an extra

    try:
        connection = await psycopg.AsyncConnection.connect(**arguments, autocommit=True)
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            async for notice in connection.notifies():
                yield notice.payload
    except psycopg.Error as error:
        raise StoreUnavailable(str(error)) from error
