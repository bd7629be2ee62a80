"""Reports of progress, and their batches."""

import enum
import pickle
import threading
from decimal import Decimal
from fractions import Fraction

import numpy
import pytest

from deepaas import progress


def kept(batches):
    """The numbers of the reports in the history that these batches make."""
    numbers = []
    for batch in batches:
        numbers += [report.number for report in batch.history]
        numbers = [number for number in numbers if number % batch.stride == 0]
    return numbers


def test_outside_a_job_nothing_happens():
    progress.report(1, 2, loss=0.5)


def test_the_last_report_is_never_lost():
    batches = []
    with progress.recorded(batches.append):
        for step in range(10):
            progress.report(step, loss=step)
    assert batches[0].latest.step == 0  # the first one leaves at once
    assert batches[-1].latest.step == 9
    assert kept(batches) == list(range(10))
    progress.report(10)
    assert batches[-1].latest.step == 9


def test_a_report_is_sent_even_if_none_follows():
    sent = threading.Event()

    def send(batch):
        if batch.latest.step == 2:
            sent.set()

    with progress.recorded(send):
        progress.report(1)
        progress.report(2)  # right after: it has to wait
        assert sent.wait(10)


@pytest.mark.parametrize("count", [999, 1000, 1001, 12_345])
def test_the_history_is_bounded_and_even(count):
    batches = []
    with progress.recorded(batches.append):
        for step in range(count):
            progress.report(step)
    numbers = kept(batches)
    assert min(count, 490) <= len(numbers) <= progress.MAX_KEPT_REPORTS
    stride = numbers[1] - numbers[0]
    assert numbers == list(range(0, count, stride))
    assert batches[-1].latest.step == count - 1


def test_an_invalid_number_does_not_end_a_training(caplog):
    class Broken:
        def __float__(self):
            raise RuntimeError

    batches = []
    with progress.recorded(batches.append):
        progress.report("a", Broken(), loss=[], right="0.5", none=None, on=True)
    latest = batches[-1].latest
    assert (latest.step, latest.total) == (None, None)
    assert latest.metrics == {"loss": None, "right": 0.5, "none": None, "on": 1.0}
    assert "is not a number" in caplog.text


def test_names_and_numbers_of_any_class_arrive_as_plain_ones():
    class Metric(str, enum.Enum):
        LOSS = "loss"

    class Name(str):
        def __str__(self):
            return "another"

    class Number(float):
        pass

    batches = []
    with progress.recorded(batches.append):
        for step in (numpy.int64(1), Number(2)):
            metrics = {Metric.LOSS: Number(0.5), Name("name"): numpy.float32(2)}
            progress.report(step, numpy.float64(3), **metrics)
    pickle.dumps(batches)  # as nothing of this function could be
    for report in (batches[-1].latest, batches[-1].history[0]):
        step, total, metrics = report[2:]
        assert metrics == {"loss": 0.5, "name": 2.0}
        assert {type(name) for name in metrics} == {str}
        assert {type(value) for value in (step, total, *metrics.values())} == {float}


def test_a_value_is_that_of_the_time_of_its_report():
    changes = numpy.zeros(1)[0:1].reshape(())
    batches = []
    with progress.recorded(batches.append):
        progress.report(0)  # leaves at once; the others wait
        for step in range(1, 4):
            changes[()] = step
            lasting = {"ratio": Fraction(step, 2), "exact": Decimal(step)}
            progress.report(changes, changes, loss=changes, **lasting)
        changes[()] = 99
    for step, report in enumerate(
        batches[-1].history, start=4 - len(batches[-1].history)
    ):
        metrics = {"loss": step, "ratio": step / 2, "exact": step}
        assert report[2:] == (step, step, metrics)


def test_threads_report_too():
    batches = []
    with progress.recorded(batches.append):
        threads = [
            threading.Thread(target=lambda: [progress.report(n) for n in range(100)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(kept(batches)) == list(range(400))


def test_a_server_that_is_gone_does_not_matter():
    def send(batch):
        raise BrokenPipeError

    with progress.recorded(send):
        progress.report(1)
