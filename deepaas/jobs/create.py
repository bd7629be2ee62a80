"""create_jobs(): chooses where jobs are kept."""

from functools import partial
from pathlib import Path

from deepaas.errors import StartError
from deepaas.jobs.database import Database
from deepaas.jobs.database_files import DatabaseFiles
from deepaas.jobs.files import Files, FolderFiles, SharedFolderFiles
from deepaas.jobs.listener import listen
from deepaas.jobs.service import SERVER_LEASE, Jobs
from deepaas.jobs.store import SQLRecords

COPIES = "copies"
"""The folder in the state folder for copies of files that are being sent."""


def create_jobs(
    folder: Path,
    database_url: str = "",
    files_folder: str = "",
    *,
    keep: int = 0,
    keep_days: float = 0,
    lease: float = SERVER_LEASE,
) -> Jobs:
    """Returns the jobs with their records in a database.

    Without a URL the database is in the folder, which is this server's alone. Several
    servers may share PostgreSQL: logs and results are in it too, or in the other
    folder if there is one. Raises StartError when a folder or the database cannot be
    used, for example while another server uses the folder.
    """
    own = FolderFiles(folder)
    try:
        database = (
            Database(database_url) if database_url else Database.in_folder(folder)
        )
        files = _files(database, own, folder, files_folder)
    except BaseException:
        own.close()
        raise
    arguments = database.connect_arguments()
    return Jobs(
        SQLRecords(database),
        files,
        outcomes=own,
        keep=keep,
        keep_days=keep_days,
        lease=lease,
        source=None if arguments is None else partial(listen, arguments),
    )


def _files(database: Database, own: Files, folder: Path, files_folder: str) -> Files:
    """Returns the files of jobs, where all servers of a database find them."""
    try:
        if files_folder:
            if not database.is_shared:
                raise StartError(
                    "--files-dir needs a --database-url of PostgreSQL; without one, "
                    "logs and results are in --state-dir"
                )
            return SharedFolderFiles(Path(files_folder))
        return DatabaseFiles(database, folder / COPIES) if database.is_shared else own
    except BaseException:
        database.close()
        raise
