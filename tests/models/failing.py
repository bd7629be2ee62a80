"""Fails in the way that it is told."""

import asyncio
import ctypes
import os
import signal
import sys
import time

from aiohttp import web
from webargs import fields


class TwoArgumentsError(Exception):
    """Pickles, but does not unpickle."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class OwnStatus(web.HTTPClientError):
    status_code = 499


def bad_request(reason):
    raise web.HTTPBadRequest(reason=reason)


def fail(error):
    raise error


WAYS = {
    "str": lambda: bad_request("x"),
    "exception": lambda: bad_request(ValueError("x")),
    "newline": lambda: bad_request("x\ny"),
    "text": lambda: fail(web.HTTPNotFound(text="long story")),
    "not implemented": lambda: fail(NotImplementedError()),
    "value": lambda: fail(ValueError("the text")),
    "two arguments": lambda: fail(TwoArgumentsError(7, "seven")),
    "unprintable": lambda: fail(UnprintableError()),
    "sys.exit": lambda: sys.exit(3),
    "os._exit": lambda: os._exit(1),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "cancelled": lambda: fail(asyncio.CancelledError()),
    "interrupt": lambda: fail(KeyboardInterrupt()),
    "own status": lambda: fail(OwnStatus(reason="mine")),
    "no content": lambda: fail(web.HTTPNoContent()),
    "not modified": lambda: fail(web.HTTPNotModified()),
    "leaves a child": lambda: os.system("sleep 40 &") or os._exit(3),
    "leaves a fork": lambda: os._exit(3) if os.fork() else time.sleep(40),
    "nothing": lambda: "alive",
}

warmed = []


def warm():
    warmed.append(True)


def get_predict_args():
    return {"how": fields.Str(required=True)}


def predict(how):
    assert warmed, "a call came before the warming"
    return WAYS[how]()
