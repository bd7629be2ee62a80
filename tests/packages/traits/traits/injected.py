"""A module that injects its functions into itself at import."""

import sys

from webargs import fields

THRESHOLD = None


def timed(function):
    """Decorate without functools.wraps, as people do."""

    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def make(name):
    if name == "warm":

        def function():
            global THRESHOLD
            THRESHOLD = 0.5

    elif name == "get_predict_args":

        def function():
            return {"x": fields.Float(missing=0.0, location="query")}

    else:

        @timed
        def function(x):
            return {"above": x > THRESHOLD}

    return function


for name in ("warm", "get_predict_args", "predict"):
    setattr(sys.modules[__name__], name, make(name))
