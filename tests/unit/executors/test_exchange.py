"""Bytes between a gateway and a place: whole and in order, in every interleaving."""

import asyncio
import random

from deepaas.executors import exchange
from deepaas.executors.exchange import MAX_ANSWER_BYTES, InOrder, Outbox


def test_pieces_that_overtake_each_other():
    taken = []
    order = InOrder(taken.append)
    numbers = list(range(50))
    random.Random(0).shuffle(numbers)
    for number in numbers:
        order.add(number, b"" if number % 5 == 0 else bytes([number]))
    assert b"".join(taken) == bytes(n for n in range(50) if n % 5)


def test_two_calls_stay_open_and_the_first_is_answered_first():
    async def scenario():
        outbox = Outbox()
        calls = []
        for _ in range(3):
            calls.append(asyncio.create_task(outbox.answer()))
            await asyncio.sleep(0)
        assert await calls[0] == (0, b"")
        assert not calls[1].done()
        outbox.put(b"a", b"", b"b")
        assert await calls[1] == (1, b"ab")
        assert not calls[2].done()
        outbox.put(b"c")
        assert await calls[2] == (2, b"c")

    asyncio.run(scenario())


def test_what_was_put_before_a_call_answers_it():
    async def scenario():
        outbox = Outbox()
        outbox.put(b"x" * (MAX_ANSWER_BYTES + 5))
        room = asyncio.create_task(outbox.room())
        await asyncio.sleep(0)
        assert not room.done()
        number, data = await outbox.answer()
        assert (number, len(data)) == (0, MAX_ANSWER_BYTES)
        assert await outbox.answer() == (1, b"xxxxx")
        await room

    asyncio.run(scenario())


def test_an_open_call_is_answered_after_a_while(monkeypatch):
    monkeypatch.setattr(exchange, "OPEN_SECONDS", 0.01)
    assert asyncio.run(Outbox().answer()) == (0, b"")


def test_any_sizes_and_any_number_of_calls():
    async def scenario():
        source = random.Random(1)
        outbox, sent, taken = Outbox(), b"", []
        order = InOrder(taken.append)

        async def call():
            order.add(*await outbox.answer())

        calls = []
        for _ in range(200):
            if source.random() < 0.5:
                calls.append(asyncio.create_task(call()))
            else:
                data = bytes([source.randrange(256)]) * source.randrange(3)
                sent += data
                outbox.put(data)
            if source.random() < 0.3:
                await asyncio.sleep(0)
        while b"".join(taken) != sent:
            calls.append(asyncio.create_task(call()))
            await asyncio.sleep(0)
        for each in calls:
            each.cancel()

    asyncio.run(scenario())
