"""Check whether the calls of a model's method can fit it."""

import functools

import pytest

from deepaas.model.signatures import find_misfit, is_annotated, takes_one


def plain(a, b=1):
    pass


def keywords(*, a):
    pass


def anything(**kwargs):
    pass


def positional(a, /, b):
    pass


def positional_and_anything(a, /, **kwargs):
    pass


def nothing():
    pass


def several(*args):
    pass


def injects(function):
    """Decorate as people do who give a model its session."""

    @functools.wraps(function)
    def inner(**kwargs):
        return function("session", **kwargs)

    return inner


def narrows(function):
    @functools.wraps(function)
    def inner(a):
        return function(a, b=2)

    return inner


def unwrapped(function):
    return lambda *args, **kwargs: function(*args, **kwargs)


class Model:
    def method(self, a):
        pass

    @classmethod
    def of_class(cls, a):
        pass

    @staticmethod
    def static(a):
        pass

    def __call__(self, a):
        pass


class Signed:
    """Some libraries set what `inspect.signature` says."""

    __signature__ = "odd"

    def __call__(self):
        pass


ALWAYS, SOMETIMES = True, False


@pytest.mark.parametrize(
    ("function", "given"),
    [
        (plain, {"a": ALWAYS, "b": SOMETIMES}),
        (plain, {"a": ALWAYS}),
        (keywords, {"a": ALWAYS}),
        (anything, {"demo-image": ALWAYS, "self": SOMETIMES}),
        (anything, {}),
        (nothing, {}),
        (several, {}),
        (injects(plain), {"b": ALWAYS}),
        (injects(keywords), {"x": ALWAYS}),
        (narrows(plain), {"a": ALWAYS}),
        (unwrapped(plain), {"x": ALWAYS}),
        (functools.partial(plain, 1), {"b": SOMETIMES}),
        (functools.partial(plain, a=1), {"a": ALWAYS}),
        (Model().method, {"a": ALWAYS}),
        (Model().of_class, {"a": ALWAYS}),
        (Model().static, {"a": ALWAYS}),
        (Model(), {"x": ALWAYS}),  # an object: it may do anything
        (Signed(), {"x": ALWAYS}),
        (dict, {"x": ALWAYS}),
        (print, {"x": ALWAYS}),
    ],
)
def test_calls_that_fit(function, given):
    assert find_misfit(function, given) is None


@pytest.mark.parametrize(
    ("function", "given", "text", "always"),
    [
        (plain, {}, "it needs 'a', which is not among its arguments", True),
        (plain, {"a": ALWAYS, "c": ALWAYS}, "it does not take 'c'", True),
        (plain, {"a": ALWAYS, "c": SOMETIMES}, "it does not take 'c'", False),
        (plain, {"a": SOMETIMES}, "it needs 'a', which may be absent", False),
        (
            plain,
            {"x": ALWAYS, "y": ALWAYS, "z": SOMETIMES},
            "it does not take 'x' and 'y' and it needs 'a', which is not among its "
            "arguments",
            True,
        ),
        (keywords, {}, "it needs 'a', which is not among its arguments", True),
        (nothing, {"a": ALWAYS}, "it does not take 'a'", True),
        (several, {"a": ALWAYS}, "it does not take 'a'", True),
        (
            positional,
            {"a": ALWAYS, "b": ALWAYS},
            "it does not take 'a' and it needs 'a', which is not among its arguments",
            True,
        ),
        (
            positional_and_anything,
            {"a": ALWAYS},
            "it needs 'a', which is not among its arguments",
            True,
        ),
        (narrows(plain), {"b": ALWAYS, "a": ALWAYS}, "it does not take 'b'", True),
        (
            functools.partial(plain, 1),
            {"a": ALWAYS},
            "it does not take 'a'",
            True,
        ),
        (
            Model().method,
            {"self": ALWAYS, "a": ALWAYS},
            "it does not take 'self'",
            True,
        ),
        (Model().static, {}, "it needs 'a', which is not among its arguments", True),
    ],
)
def test_calls_that_do_not_fit(function, given, text, always):
    assert find_misfit(function, given) == (text, always)


def test_batches_are_one_value():
    for function in (plain, anything, nothing, keywords):
        assert takes_one(function) == (function is plain)
    assert takes_one(Model().method)
    assert takes_one(print)
    assert takes_one(several)


def test_annotated_functions():
    def annotated(a: int):
        pass

    def answer() -> int:
        pass

    def rest(*args: int, **kwargs: int):
        pass

    assert is_annotated(annotated)
    assert is_annotated(injects(annotated))
    assert is_annotated(functools.partial(annotated))
    for function in (answer, rest, plain, None, 7, print):
        assert not is_annotated(function)
