"""The records and files of jobs, with the threads that use them."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from deepaas.jobs.files import Files, Part
from deepaas.jobs.records import Records
from deepaas.jobs.threads import DatabaseThreads

T = TypeVar("T")

DATABASE_TIMEOUT = 10.0
"""Seconds for which callers wait for a database that is locked or not reachable."""


class Storage:
    """Records and files, which several servers may share, and files of this server.

    Nothing here waits for the disk on the event loop.
    """

    def __init__(self, records: Records, files: Files, outcomes: Files) -> None:
        self.records = records
        self.files = files
        """Logs, results and drafts, where all servers find them."""
        self.outcomes = outcomes
        """Outcomes that the records do not have yet, of this server."""
        # One thread writes: records are inserted in the order of their requests.
        self._writer = DatabaseThreads(1, "jobs-writer", DATABASE_TIMEOUT)
        self._reader = DatabaseThreads(2, "jobs-reader", DATABASE_TIMEOUT)
        self._log_threads = ThreadPoolExecutor(2, thread_name_prefix="jobs-log")

    async def write(self, call: Callable[[], T], *, repeat: bool = True) -> T:
        """Returns what a call returns that changes records."""
        return await self._writer.run(call, repeat=repeat)

    async def read(self, call: Callable[[], T], *, repeat: bool = True) -> T:
        """Returns what a call returns that reads records."""
        return await self._reader.run(call, repeat=repeat)

    async def use_log(self, call: Callable[[], T]) -> T:
        """Returns what a call returns that reads or writes a log."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._log_threads, call)

    def remove_files(self, uuids: Sequence[str]) -> None:
        """Removes all files of jobs; blocks. Raises StoreFailed or OSError."""
        if uuids:
            self.files.remove(uuids)
            if self.outcomes is not self.files:
                self.outcomes.remove(uuids)

    def remove_left_files(self) -> None:
        """Removes the files that servers have left which were killed; blocks.

        These are drafts of jobs that have ended, and files of jobs without a record.
        Raises StoreFailed or OSError.
        """
        for files in {self.files, self.outcomes}:
            uuids = files.unfinished()  # before the records are asked
            still_open = set(self.records.still_open(uuids))
            files.remove_unfinished([u for u in uuids if u not in still_open])
        if self.records.is_shared:
            for part in (Part.LOG, Part.RESULT):
                left = self.records.unknown(self.files.having(part))
                self.files.remove(left, [part])

    def stop_repeating(self) -> None:
        """Repeats no write from now on: the server ends."""
        self._writer.stop_repeating()

    async def close(self) -> None:
        """Ends the threads, and the use of records and files."""
        for threads in (self._writer, self._reader):
            await threads.close()
        await asyncio.to_thread(self._log_threads.shutdown)
        for files in {self.files, self.outcomes}:
            await asyncio.to_thread(files.close)
        await asyncio.to_thread(self.records.close)
