"""Outcomes in files, and in the records of the next start."""

import contextlib
import dataclasses

import pytest

from deepaas.encoding import JSONText
from deepaas.jobs.files import FolderFiles, Part
from deepaas.jobs.outcomes import forget_outcome, restore_outcomes, save_outcome
from deepaas.jobs.records import Kind, Outcome, SavedError, SavedReply, Status, new_job
from deepaas.jobs.store import SQLRecords


@pytest.fixture
def files(tmp_path):
    with contextlib.closing(FolderFiles(tmp_path)) as files:
        yield files


@pytest.fixture
def records(files, tmp_path):
    with contextlib.closing(SQLRecords.in_folder(tmp_path)) as records:
        yield records


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(Status.DONE, output=JSONText('{"n": 1e3, "s": "\\ud800"}')),
        Outcome(Status.DONE, reply=SavedReply("image/png", "ä.png", True)),
        Outcome(Status.ERROR, "no", reply=SavedError(409, "n", {"A": "b"})),
        Outcome(Status.CANCELLED),
    ],
)
async def test_an_outcome_is_restored_as_it_was(files, records, outcome):
    job = dataclasses.replace(new_job(Kind.TRAIN, "m", {}), status=Status.RUNNING)
    records.insert(job)
    ended = dataclasses.replace(job, progress={"step": 1}).finished(outcome, 2)
    assert await save_outcome(files, ended)
    restore_outcomes(files, records)
    assert records.get(job.uuid) == ended
    assert files.having(Part.OUTCOME) == []


async def test_a_stored_outcome_is_not_replaced(files, records):
    job = new_job(Kind.TRAIN, "m", {})
    stored = job.finished(Outcome(Status.DONE), 1)
    records.insert(stored)
    assert await save_outcome(files, job.finished(Outcome(Status.ERROR, "late"), 1))
    restore_outcomes(files, records)
    assert records.get(job.uuid) == stored
    assert files.having(Part.OUTCOME) == []


async def test_a_job_that_another_server_has_ended_keeps_its_end(files, records):
    job = new_job(Kind.TRAIN, "m", {}, owner="dead")
    records.insert(job)
    assert await save_outcome(files, job.finished(Outcome(Status.DONE), 1))
    records.adopt("another", 0, 0)
    ended = records.get(job.uuid)
    restore_outcomes(files, records)
    assert records.get(job.uuid) == ended
    assert files.having(Part.OUTCOME) == []


async def test_the_outcome_of_an_unknown_job_stays(files, records):
    job = new_job(Kind.TRAIN, "m", {}).finished(Outcome(Status.DONE), 1)
    assert await save_outcome(files, job)
    restore_outcomes(files, records)
    assert files.having(Part.OUTCOME) == [job.uuid]
    await forget_outcome(files, job)
    assert files.having(Part.OUTCOME) == []


@pytest.mark.parametrize("broken", [b"", b"{", b"[]", b"{}", b'{"status": "odd"}'])
def test_a_broken_file_does_not_stop_the_start(files, records, broken, caplog):
    job = new_job(Kind.TRAIN, "m", {})
    records.insert(job)
    files.put(job.uuid, Part.OUTCOME, broken)
    restore_outcomes(files, records)
    assert records.get(job.uuid) == job
    assert "cannot be read" in caplog.text


async def test_an_outcome_that_cannot_be_saved(files, tmp_path, caplog):
    (tmp_path / "outcomes").rmdir()
    assert not await save_outcome(files, new_job(Kind.TRAIN, "m", {}))
    assert "is not saved" in caplog.text
