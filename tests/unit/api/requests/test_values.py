"""The location of the value of an argument, and ignored arguments."""

import pytest
from aiohttp.test_utils import make_mocked_request
from marshmallow import fields

from deepaas.api.context import CONTEXT, RequestContext
from deepaas.api.requests.values import Parsing
from deepaas.arguments import Arguments
from deepaas.arguments.outcome import load as _load
from deepaas.config import Settings
from deepaas.errors import InvalidArguments

ARGUMENTS = Arguments(
    {
        "n": fields.Int(),
        "tags": fields.List(fields.Str()),
        "rows": fields.List(fields.List(fields.Int())),
        "box": fields.Dict(),
        "key": fields.Str(metadata={"location": "headers"}, data_key="X-Key"),
        "crumb": fields.Str(metadata={"location": "cookies"}),
    }
)


async def read(query="", strict=False, **headers):
    """Read a request without a body; return what is loaded, and what is ignored."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = make_mocked_request("GET", f"/x?{query}", headers=names)
    context = request[CONTEXT] = RequestContext("r")
    settings = Settings(strict_arguments=strict)
    async with Parsing(request, ARGUMENTS, settings) as given:
        return _load(ARGUMENTS, given), context.ignored


@pytest.mark.parametrize(
    ("query", "loaded"),
    [
        ("", {}),
        ("n=1&n=2", {"n": 1}),
        ("tags=a&tags=b", {"tags": ["a", "b"]}),
        ("tags[]=a&tags=b", {"tags": ["b", "a"]}),
        ('tags=["a", "b"]', {"tags": ["a", "b"]}),
        ("tags=[a", {"tags": ["[a"]}),
        ("tags=", {"tags": [""]}),
        ("rows=[[1,2],[3]]", {"rows": [[1, 2], [3]]}),
        ('box={"a": 1}', {"box": {"a": 1}}),
    ],
)
async def test_a_value_in_the_query(query, loaded):
    assert await read(query) == (loaded, None)


async def test_a_header_and_a_cookie():
    found = await read("", X_Key="k", Cookie="crumb=c; other=d")
    assert found == ({"key": "k", "crumb": "c"}, None)


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ("m=1&n=1", "m"),
        ("key=1", "key"),
        ("crumb=1", "crumb"),
        ("n[]=1", "n[]"),
        ("a%2Cb=1&c%0D%0AX:%20y=2", "a%2Cb, c%0D%0AX:%20y"),
        ("x" * 100 + "=1", "x" * 60 + "..."),
        ("&".join(f"a{n}=1" for n in range(30)), None),
    ],
)
async def test_what_is_ignored_is_named(query, ignored):
    _, named = await read(query)
    expected = ignored or ", ".join([*(f"a{n}" for n in range(20)), "..."])
    assert named == expected


async def test_strict_arguments_are_refused_with_a_hint():
    with pytest.raises(InvalidArguments) as refused:
        await read("tag=a&zzz=1&crumb=2&n=x", strict=True)
    assert refused.value.messages == {
        "tag": ["Unknown argument; did you mean 'tags'?"],
        "zzz": ["Unknown argument."],
        "crumb": ["Not looked for in the query, but in a cookie."],
        "n": ["Not a valid integer."],
    }
