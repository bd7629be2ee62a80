"""Yields: each item after a file, if there is a folder to look for it in."""

import asyncio
import os
import time
from pathlib import Path

from aiohttp import web
from webargs import fields

from deepaas import progress


def get_predict_args():
    return {
        "items": fields.Int(load_default=3),
        "folder": fields.Str(load_default=""),
        "how": fields.Str(load_default="json"),
        "fail_at": fields.Int(load_default=-1),
        "asynchronous": fields.Bool(load_default=False),
        "size": fields.Int(load_default=1),
        "sleep": fields.Float(load_default=0.0),
        "says": fields.Bool(load_default=False),
        "accept": fields.Str(
            load_default="application/json",
            metadata={"enum": ["application/json", "text/event-stream", "video/mp4"]},
        ),
    }


def item(number, how, size):
    return {
        "json": {"n": number},
        "text": f"item {number}\nof several",
        "lines": "\na\u2028b\x0cc\r\nd\re \ud800\n",
        "bytes": b"x" * size,
        "odd": object(),
    }[how]


def predict(asynchronous, **kwargs):
    return (yields_async if asynchronous else yields)(**kwargs)


def yields(items, folder, how, fail_at, size, sleep, says, accept):
    try:
        for number in range(items):
            while folder and not Path(folder, str(number)).exists():
                time.sleep(0.01)
            if says:
                print("item", number)
            if number == fail_at:
                raise web.HTTPConflict(reason="not this one")
            progress.report(number, items)
            yield item(number, how, size)
            time.sleep(sleep)
    finally:
        print("finally", os.getpid())


async def until(path):
    while not path.exists():  # noqa: ASYNC110 - a file sets no event
        await asyncio.sleep(0.01)


async def yields_async(items, folder, how, fail_at, size, sleep, says, accept):
    try:
        for number in range(items):
            await until(Path(folder, str(number)) if folder else Path())
            if says:
                print("item", number)
            if number == fail_at:
                raise web.HTTPConflict(reason="not this one")
            yield item(number, how, size)
            await asyncio.sleep(sleep)
    finally:
        print("finally", os.getpid())
