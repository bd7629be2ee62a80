"""Does to its standard output and error what models do to theirs."""

import contextlib
import io
import logging
import os
import sys

from webargs import fields

logger = logging.getLogger(__name__)


class Tee:
    """Has no flush, as those that people write."""

    def __init__(self, stream):
        self.stream = stream

    def write(self, text):
        self.stream.write(text)


class Broken(Tee):
    def flush(self):
        raise RuntimeError("no flush")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


class Leaving(Tee):
    def flush(self):
        sys.exit("I leave")


def replace(kind):
    sys.stdout, sys.stderr = kind(sys.stdout), kind(sys.stderr)


def close():
    print("before the end", end="")
    sys.stdout.close()
    sys.stderr.close()


def remove():
    sys.stdout = sys.stderr = None


def close_descriptors():
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):  # it was closed before
            os.close(descriptor)


def redirect():
    print("before the redirection", end="")
    contextlib.redirect_stdout(io.StringIO()).__enter__()


def closed_file():
    with open(os.devnull, "w") as file:
        sys.stdout = sys.stderr = file


WAYS = {
    "tee": lambda: replace(Tee),
    "broken": lambda: replace(Broken),
    "leaving": lambda: replace(Leaving),
    "close": close,
    "remove": remove,
    "close descriptors": close_descriptors,
    "redirect": redirect,
    "closed file": closed_file,
}


def get_predict_args():
    return {"way": fields.Str(required=True)}


get_train_args = get_predict_args


def predict(way):
    if way == "print":
        print("printed: \u263a \udcff")
        print("printed: \u263b", file=sys.stderr)
        logger.warning("logged: \u263a")
    elif way == "log":
        logger.warning("still logged")
    elif way == "exit":
        sys.exit("the last line \u263a")
    else:
        WAYS[way]()
    return os.getpid()


train = predict
