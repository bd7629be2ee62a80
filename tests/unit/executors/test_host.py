"""Results and exceptions of a model, as the worker sends them to the server."""

import array
import http
from collections import namedtuple

import numpy
import pandas
import pytest
from aiohttp import web

from deepaas.executors.host import batch_results, describe

Answers = namedtuple("Answers", ["labels", "scores"])


@pytest.mark.parametrize(
    "results",
    [
        [1, 2],
        (1, 2),
        numpy.array([1, 2]),
        numpy.array([[1], [2]]),
        numpy.array(["a", "b"]),
        array.array("d", [1, 2]),
    ],
)
def test_results_of_a_batch(results):
    assert [*batch_results(results, 2)] == [*results]


@pytest.mark.parametrize(
    "results",
    [
        {"a": 1, "b": 2},
        {1, 2},
        frozenset([1, 2]),
        "ab",
        b"ab",
        bytearray(b"ab"),
        memoryview(b"ab"),
        numpy.str_("ab"),
        numpy.float64(2),
        numpy.array(2),
        pandas.DataFrame({"a": [1, 2], "b": [1, 2]}),
        pandas.Series([1, 2]),
        Answers([1, 2], [1, 2]),
        (n for n in (1, 2)),
        {"a": 1, "b": 2}.values(),
        iter([1, 2]),
        range(2),
        None,
        7,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_one_result_for_each_call(results):
    message = f"a list, a tuple or an array .*, not a {type(results).__name__}"
    with pytest.raises(TypeError, match=message):
        batch_results(results, 2)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_results(count):
    with pytest.raises(ValueError, match=f"2 results for {count} calls"):
        batch_results(numpy.array([1, 2]), count)


class NotANumberError(web.HTTPClientError):
    status_code = "many"


class TextError(web.HTTPClientError):
    status_code = "404"


class EnumError(web.HTTPClientError):
    status_code = http.HTTPStatus.CONFLICT


class ContinueError(web.HTTPException):
    status_code = 100


def with_status(status):
    error = web.HTTPBadRequest(reason="by hand")
    error.set_status(status, "by hand")
    return error


def raised(make):
    try:
        raise make()
    except Exception as error:
        return describe(error)


@pytest.mark.parametrize(
    ("make", "status", "message"),
    [
        (lambda: web.HTTPException(reason="plain"), 500, "plain"),
        (lambda: web.HTTPException(reason=ValueError("inner")), 500, "inner"),
        (lambda: web.HTTPException(reason="two\nlines"), 500, "two\nlines"),
        (lambda: web.HTTPException(text="long story"), 500, "long story"),
        (lambda: web.HTTPException, 500, "HTTPException"),
        (lambda: web.HTTPError(reason="plain"), 500, "plain"),
        (lambda: web.HTTPClientError(reason="plain"), 500, "plain"),
        (lambda: web.HTTPServerError(reason="plain"), 500, "plain"),
        (lambda: web.HTTPSuccessful(reason="plain"), 500, "plain"),
        (lambda: web.HTTPRedirection(reason="plain"), 500, "plain"),
        (lambda: web.HTTPInternalServerError(reason="plain"), 500, "plain"),
        (lambda: web.HTTPOk(reason="fine"), 200, "fine"),
        (lambda: web.HTTPFound("/other", reason="there"), 302, "there"),
        (lambda: web.HTTPBadRequest(reason=ValueError("inner")), 400, "inner"),
        (lambda: with_status(99), 500, "by hand"),
        (lambda: with_status(700), 500, "by hand"),
        (lambda: with_status(599), 599, "by hand"),
        (lambda: ContinueError(reason="go on"), 500, "go on"),
        (lambda: NotANumberError(reason=ValueError("inner")), 500, "inner"),
        (lambda: TextError(reason=ValueError("inner")), 404, "inner"),
        (lambda: EnumError(reason="inner"), 409, "inner"),
    ],
)
def test_the_status_and_text_of_an_http_exception(make, status, message):
    described = raised(make)
    assert (described.status, described.message) == (status, message)
    assert type(described.status) is int
    assert str(described.error()) == message
