"""Records of jobs: their forms for callers, and how they end."""

import pytest

from deepaas.errors import DeepaasError, ModelRaised
from deepaas.jobs.records import (
    Kind,
    Outcome,
    SavedError,
    SavedReply,
    Status,
    describe_history,
    describe_job,
    new_job,
    reply_from_data,
    reply_to_data,
)
from deepaas.progress import Report


def test_a_metric_does_not_replace_dates_steps_or_totals():
    names = ("metrics.step", "date", "step", "total", "loss")
    metrics = {name: float(number) for number, name in enumerate(names)}
    curves = describe_history([Report(0, 0.0, 1, 2, metrics), Report(1, 1.0, 2, 2, {})])
    assert curves["step"] == [1, 2]
    assert curves["total"] == [2, 2]
    assert curves["date"][0].startswith("1970-01-01T00:00:00")
    assert curves["loss"] == [4.0, None]
    assert curves["metrics.date"] == [1.0, None]
    assert curves["metrics.total"] == [3.0, None]
    assert curves["metrics.step"] == [0.0, None]
    assert curves["metrics.metrics.step"] == [2.0, None]


def test_a_job_without_reports_has_empty_curves():
    assert describe_history([]) == {"date": [], "step": [], "total": []}


@pytest.mark.parametrize(
    "reply",
    [
        SavedReply("image/png", "a.png", True),
        SavedReply("image/png"),
        SavedError(409, "not now", {"Retry-After": "1"}),
        SavedError(500, ""),
    ],
)
def test_a_saved_reply_has_a_json_form(reply):
    assert reply_from_data(reply_to_data(reply)) == reply


def test_a_reply_of_an_early_version():
    data = {"status": 200, "media_type": "a/b", "filename": "c"}
    assert reply_from_data(data) == SavedReply("a/b", "c", False)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModelRaised("ValueError: x", kind="ValueError"), "ValueError: x"),
        (ModelRaised("x", status=409, kind="HTTPConflict"), "HTTPConflict: x"),
        (DeepaasError("a\0b\ud800"), "a\\0b\\ud800"),
    ],
)
def test_the_outcome_of_an_error(error, message):
    outcome = Outcome.of_error(error)
    assert (outcome.status, outcome.message) == (Status.ERROR, message)
    assert outcome.reply.status == error.status
    assert outcome.reply.error().status == error.status


def test_only_a_training_that_is_done_shows_an_output():
    job = new_job(Kind.TRAIN, "m", {"n": 1})
    assert describe_job(job).keys() == {"uuid", "model", "date", "args", "status"}
    done = describe_job(job.finished(Outcome(Status.DONE), 0.5))
    assert done["result"].keys() == {"output", "finish_date", "duration"}
    failed = describe_job(job.finished(Outcome(Status.ERROR, "no"), 0.5))
    assert failed["message"] == "no"
    assert failed["result"].keys() == {"finish_date", "duration"}
