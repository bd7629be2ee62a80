"""Tickets in one process: both sides are read here, so nothing depends on timing."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepaas.executors.tickets import TicketReader, Tickets


@pytest.fixture
def sides():
    ours, shared = socket.socketpair()
    tickets = Tickets(ours, shared)
    yield tickets, TicketReader(shared)
    tickets.close()


STEPS = ["send", "send three", "together", "take", "reclaim", "stop"]


@given(st.lists(st.sampled_from(STEPS)))
def test_each_call_is_begun_once_or_taken_back(steps):
    ours, shared = socket.socketpair()
    tickets, reader = Tickets(ours, shared), TicketReader(shared)
    messages, unbegun, begun, back, number = [], [], [], [], 0
    for step in steps:
        if step in ("send", "send three", "together"):
            count = 1 if step == "send" else 3
            calls = list(range(number, number + count))
            number += count
            messages += calls
            unbegun += [calls] if step == "together" else [[n] for n in calls]
            tickets.issue(count, together=step == "together")
        elif step == "take" and unbegun:
            skip, size = reader.take()
            del messages[:skip]
            assert messages[:size] == unbegun.pop(0)  # in order, and none twice
            begun += messages[:size]
            del messages[:size]
        elif step == "reclaim":
            count = tickets.reclaim()
            last = [n for calls in unbegun for n in calls]
            assert count == len(last)  # all that has not begun, so the end of it
            back += last
            unbegun.clear()
        elif step == "stop":  # a stream that ends before it hears of it
            tickets.stop_stream()
            tickets.stream_ended()
    tickets.close()
    left = [n for calls in unbegun for n in calls]
    assert sorted(begun + back + left) == list(range(number))


def test_a_stream_is_told_to_stop(sides):
    tickets, reader = sides
    assert not reader.stopped()
    tickets.stop_stream()
    assert reader.stopped()
    assert tickets.reclaim() == 0  # it is not a call's
    assert reader.stopped()
    tickets.stream_ended()
    tickets.issue(1, together=False)
    assert reader.take() == (0, 1)


def test_the_next_call_does_not_stop_a_stream(sides):
    tickets, reader = sides
    tickets.issue(1, together=False)
    assert not reader.stopped()
    assert reader.take() == (0, 1)


def test_the_end_comes_after_all_tickets(sides):
    tickets, reader = sides
    tickets.issue(2, together=False)
    tickets.end()
    assert [reader.take(), reader.take()] == [(0, 1), (0, 1)]
    with pytest.raises(EOFError):
        reader.take()
    assert reader.stopped()
