"""The end of a stream in a worker, whenever its reader leaves."""

import os
import signal

import pytest

from deepaas.executors.host import Yields
from deepaas.executors.messages import End
from deepaas.executors.worker import _Interruption, _stream


class Inbox:
    """Its server stops the stream right after the worker has looked whether it does."""

    def __init__(self):
        self.asked = 0

    def stopped(self):
        self.asked += 1
        if self.asked > 1:
            return True
        os.kill(os.getpid(), signal.SIGUSR1)
        return False


@pytest.fixture
def interruption():
    before = signal.getsignal(signal.SIGUSR1)
    yield _Interruption(Inbox())
    signal.signal(signal.SIGUSR1, before)


def test_a_reader_who_leaves_as_an_item_begins(interruption):
    made = []

    def items():
        for n in range(3):
            made.append(n)
            yield n

    yields = Yields("application/x-ndjson", items(), str)
    ended = _stream(yields, lambda *_, **__: None, interruption)
    assert isinstance(ended, End)
    assert made == []
