"""Errors: their status, what callers read, and those of authors."""

import asyncio
import errno

import pytest

from deepaas import errors
from deepaas.api.routes import message_body


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.DeepaasError, 500),
        (errors.BadBody, 400),
        (errors.Unauthorized, 401),
        (errors.NotFound, 404),
        (errors.NotAcceptable, 406),
        (errors.Gone, 410),
        (errors.BodyTooLarge, 413),
        (errors.UnsupportedMediaType, 415),
        (errors.StoreUnavailable, 503),
        (errors.Unavailable, 503),
        (errors.CallTimeout, 504),
        (errors.WorkerDied, 500),
    ],
)
def test_each_error_has_a_status_and_a_message(kind, status):
    error = kind("the text")
    assert (error.status, message_body(error)) == (status, {"message": "the text"})


def test_messages_by_argument():
    error = errors.InvalidArguments({"n": ["no"]})
    assert (error.status, message_body(error)) == (422, {"n": ["no"]})
    assert errors.InvalidArguments({}, status=400).status == 400


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_is_full(number):
    with pytest.raises(errors.NoSpace) as refused, errors.DiskErrors():
        raise OSError(number, "full")
    assert refused.value.status == 507


def test_another_error_of_the_disk_stays_as_it_is():
    with pytest.raises(PermissionError), errors.DiskErrors():
        raise PermissionError


def test_the_text_of_an_error_may_raise():
    class Odd(Exception):
        def __str__(self):
            raise asyncio.CancelledError

    assert errors.named(Odd()) == "Odd: (its text cannot be shown: CancelledError)"


@pytest.mark.parametrize(
    "kind", [ValueError, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError]
)
def test_what_an_author_may_raise(kind):
    assert issubclass(kind, errors.authors_errors())
    assert not issubclass(SystemExit, errors.authors_errors())
    assert issubclass(SystemExit, errors.authors_errors_or_exit())
