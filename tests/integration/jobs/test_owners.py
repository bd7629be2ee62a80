"""Two servers' records of one PostgreSQL, in any order of events and deaths."""

import contextlib
import dataclasses
import uuid

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from deepaas.jobs.database import Database
from deepaas.jobs.database_files import DatabaseFiles
from deepaas.jobs.files import Part
from deepaas.jobs.records import Kind, Outcome, Status, new_job
from deepaas.jobs.store import SQLRecords
from deepaas.progress import Batch, Report

LEASE = 3600.0
"""Seconds. The test ends the lease of a server itself, so the clock never does."""

SIDES = st.integers(0, 1)
PICKS = st.integers(0, 1000)
OUTCOMES = st.sampled_from(
    [Outcome(Status.DONE), Outcome(Status.ERROR, "no"), Outcome(Status.CANCELLED)]
)


class Side:
    """A server as its records know it; the next one in its place is another owner."""

    def __init__(self, database, folder):
        self.records = SQLRecords(database)
        self.files = DatabaseFiles(database, folder)
        self.owner = uuid.uuid4().hex
        self.open = {}
        """The jobs that it believes to run, by uuid."""
        self.records.renew(self.owner, "a server")


class Owners(RuleBasedStateMachine):
    """`ends` holds each end of a job that a server was told to have stored."""

    database: Database
    folder: object

    def __init__(self):
        super().__init__()
        with self.database.write() as connection:
            for table in ("jobs", "reports", "servers", "files", "request_keys"):
                connection.exec_driver_sql(f"DELETE FROM {table}")
        self.sides = [Side(self.database, self.folder) for _ in range(2)]
        self.dead = []
        """Servers that were stopped, and may go on at any time."""
        self.ends = {}
        self.removed = set()

    # -- what a server does with its jobs

    @rule(side=SIDES)
    def start(self, side):
        server = self.sides[side]
        job = new_job(Kind.TRAIN, "m", {}, server.owner)
        server.records.insert(job)
        server.open[job.uuid] = job
        self.ends[job.uuid] = []

    @rule(side=SIDES, pick=PICKS, number=st.integers(0, 9))
    def run_on(self, side, pick, number):
        self._run_on(self.sides[side], pick, number)

    @rule(side=SIDES, pick=PICKS, outcome=OUTCOMES)
    def end(self, side, pick, outcome):
        self._end(self.sides[side], pick, outcome)

    @rule(side=SIDES)
    def renew(self, side):
        """Compares the jobs as a lease does; cancels those that are to be."""
        self._renew(self.sides[side])

    # -- what any server does with any job

    @rule(side=SIDES, pick=PICKS)
    def cancel(self, side, pick):
        if self.ends:
            chosen = sorted(self.ends)[pick % len(self.ends)]
            self.sides[side].records.request_cancel(chosen)

    @rule(side=SIDES, pick=PICKS)
    def remove(self, side, pick):
        server = self.sides[side]
        ended = [job.uuid for job in self._all() if job.status.ended]
        if ended:
            self._forget([ended[pick % len(ended)]], server)

    @rule(side=SIDES, keep=st.integers(1, 3))
    def prune(self, side, keep):
        server = self.sides[side]
        assert server.records.prune(keep, "", self._remove_files(server))
        assert len([job for job in self._all() if job.status.ended]) <= keep

    @rule(side=SIDES)
    def adopt(self, side):
        self._adopt(self.sides[side])

    # -- death

    @rule(side=SIDES, is_over=st.booleans())
    def kill(self, side, is_over):
        """Another server takes the place; the dead one may only have been stopped."""
        server = self.sides[side]
        if is_over:
            server.open.clear()
        else:
            self.dead.append(server)
        with self.database.write() as connection:
            connection.exec_driver_sql(
                f"UPDATE servers SET seen = 0 WHERE owner = '{server.owner}'"
            )
        self.sides[side] = Side(self.database, self.folder)

    @precondition(lambda self: self.dead)
    @rule(pick=PICKS, outcome=OUTCOMES, number=st.integers(0, 9), renew=st.booleans())
    def go_on_after_all(self, pick, outcome, number, renew):
        server = self.dead[pick % len(self.dead)]
        self._run_on(server, pick, number)
        self._end(server, pick, outcome)
        if renew:
            self._renew(server)

    # -- the steps

    def _run_on(self, server, pick, number):
        for job in self._pick(server, pick):
            running = dataclasses.replace(job, status=Status.RUNNING)
            report = Report(number, 1.0, number, None, {})
            if server.records.update(running) and server.records.report(
                running, {"step": number}, Batch(report, [], 1)
            ):
                server.open[job.uuid] = running
                server.files.append(job.uuid, Part.LOG, b"line\n")
            else:
                del server.open[job.uuid]

    def _end(self, server, pick, outcome):
        for job in self._pick(server, pick):
            del server.open[job.uuid]
            if server.records.update(job.finished(outcome, 1)):
                self.ends[job.uuid].append(outcome.status)

    def _renew(self, server):
        stored = server.records.renew(server.owner, "a server")
        for job_uuid in server.open.keys() - stored.keys():
            del server.open[job_uuid]
        assert server.open.keys() == stored.keys()
        for job_uuid, cancel in stored.items():
            if cancel:
                job = server.open.pop(job_uuid)
                assert server.records.update(job.finished(Outcome(Status.CANCELLED), 1))
                self.ends[job_uuid].append(Status.CANCELLED)

    def _adopt(self, server):
        for job_uuid in server.records.adopt(server.owner, LEASE, 0):
            self.ends[job_uuid].append(Status.ERROR)

    def _forget(self, uuids, server):
        self._remove_files(server)(uuids)
        assert server.records.remove(uuids) == len(uuids)

    def _remove_files(self, server):
        def remove(uuids):
            server.files.remove(uuids)
            self.removed.update(uuids)

        return remove

    @staticmethod
    def _pick(server, pick):
        jobs = [server.open[job_uuid] for job_uuid in sorted(server.open)]
        return [jobs[pick % len(jobs)]] if jobs else []

    def _all(self):
        return self.sides[0].records.find(Kind.TRAIN, "m")

    # -- what is true at any time

    @invariant()
    def each_job_ends_at_most_once(self):
        stored = {job.uuid: job for job in self._all()}
        for job_uuid, ends in self.ends.items():
            assert len(ends) <= 1
            job = stored.get(job_uuid)
            if job is None:
                assert job_uuid in self.removed
                assert ends
            elif job.status.ended:
                assert ends == [job.status]
            else:
                assert ends == []

    def teardown(self):
        """All servers die: the next one ends what is open, and nothing is left over."""
        for side in range(2):
            self.kill(side, is_over=True)
        self._adopt(self.sides[0])
        self.each_job_ends_at_most_once()
        assert all(self.ends.values())
        assert self.sides[1].records.adopt(self.sides[1].owner, LEASE, 0) == []
        self._forget([job.uuid for job in self._all()], self.sides[1])
        with self.database.read() as connection:
            for table in ("jobs", "reports", "files"):
                count = f"SELECT count(*) FROM {table}"
                assert connection.exec_driver_sql(count).scalar_one() == 0


@pytest.mark.timeout(300)
def test_each_job_ends_once(database_url, tmp_path):
    with contextlib.closing(Database(database_url)) as database:
        machine = type(
            "Machine", (Owners,), {"database": database, "folder": tmp_path / "copies"}
        )
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=30,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
