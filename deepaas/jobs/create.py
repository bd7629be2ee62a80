"""create_jobs(): chooses where jobs are kept."""

from pathlib import Path

from deepaas.jobs.files import FolderFiles
from deepaas.jobs.service import Jobs
from deepaas.jobs.store import SQLRecords


def create_jobs(
    folder: Path, database_url: str = "", *, keep: int = 0, keep_days: float = 0
) -> Jobs:
    """Returns the jobs in a folder, with their records in a database.

    Without a URL the database is in the folder. Raises StartError when the folder or
    the database cannot be used, for example while another server uses the folder.
    """
    files = FolderFiles(folder)
    try:
        if database_url:
            records = SQLRecords(database_url)
        else:
            records = SQLRecords.in_folder(folder)
    except BaseException:
        files.close()
        raise
    return Jobs(records, files, keep=keep, keep_days=keep_days)
