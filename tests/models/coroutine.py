"""Warms and predicts in coroutines, which share a loop and a task."""

import asyncio

from webargs import fields

numbers = None


async def count():
    number = 0
    while True:
        number += 1
        await numbers.put(number)


async def warm():
    global numbers, task
    numbers = asyncio.Queue(1)
    task = asyncio.create_task(count())


def get_predict_args():
    return {"unused": fields.Str()}


async def predict():
    return await numbers.get()
