"""Input that nobody would send, and what the server owes an answer to it.

`KINDS` builds requests with Hypothesis, as raw bytes: a client such as httpx would
clean them up. `Hunt` sends them to a server with the models of `OPTIONS`, and raises
`Fault` for what no client may cause. Used by tests/acceptance/api/test_fuzz.py, at a
size that a suite bears, and by benchmarks/fuzz.py.
"""

import contextlib
import enum
import gzip
import http.client
import json
import re
import socket
import time
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import hypothesis
from hypothesis import strategies as st
from webargs import fields

from tests.models import fuzzed
from tests.server import MODELS

OPTIONS = (
    *(f"--model={name}={MODELS / name}.py" for name in ("fuzzed", "accept_any")),
    "--client-max-size=500000",
    "--keep-jobs=100",
)
"""What a server to be fuzzed is started with."""

PATIENCE = 10.0
"""Seconds in which an answer has to come."""

PAUSE = 0.001
"""Seconds between two pieces of a request, for the server to see them as two."""


REFUSED = re.compile(
    r" aiohttp\.server \[-\] Error handling request .*: aiohttp\.http_exceptions\."
    r"| aiohttp\.server (?!\[-\])"
)
"""What aiohttp logs of a request that is no HTTP: a line, and more below it."""


class Must(enum.Enum):
    """What a request deserves."""

    ANSWER = "whole and in HTTP: an answer, with JSON if it is an error"
    ANSWER_OR_CLOSE = "HTTP, but not whole: such an answer, or none"
    END = "no HTTP, perhaps: any answer, or none"


@dataclass(frozen=True)
class Request:
    """What is sent to the server, and what it deserves."""

    data: bytes
    must: Must = Must.ANSWER
    cut: int = 0
    """Bytes that are sent before a pause; 0 for all."""

    def __repr__(self) -> str:
        data = re.sub(
            r"(\\x..|[^\\])\1{99,}",
            lambda run: f"{run[1]}' + b'{run[1]}' * {_times(run)} + b'",
            repr(self.data),
        )
        cut = f"  # in two pieces, {self.cut} bytes first" if self.cut else ""
        return f"send({data}){cut}"


def _times(run):
    return len(run[0]) // len(run[1]) - 1


# -- values: what fits a field, and what does not

TEXTS = st.one_of(st.text(max_size=20), st.characters(exclude_categories=()))
ODD = st.sampled_from(
    [
        *("", " ", "0", "-1", "1.5", "1e400", "-0.0", "NaN", "sNaN", "inf", "0x10"),
        *(
            "9" * 19,
            "9" * 5000,
            "1e-9999999999",
            "1_0",
            "\u0661",
            "true",
            "null",
            "\0",
            "\t",
        ),
        *("{}", "[]", '{"x": 1}', '{"x": {"x": []}}', '"text"', "[" * 900, "{", "a,b"),
        *("2026-01-02T03:04:05Z", "0001-01-01T00:00:00+23:59", "24:00", "2026-02-30"),
        *("a@b.example", "http://a.example/?q=#x", "http://[", "::1/129", "red", "2"),
        *("\ud800", "\udcff", "é", "e\u0301", "\u202e", "💩", "x" * 3000, "a\r\nb: c"),
        *("../../etc/passwd", "*/*", "image/png", "a/b", "a/b\r\nX-Y: z", "%00%zz"),
        *("application/json", "text/csv", "text/event-stream", "text/plain"),
    ]
)

NUMBERS = st.one_of(st.integers(), st.floats())
FITTING = {
    fields.Int: st.integers().map(str),
    fields.Float: st.floats().map(str),
    fields.Decimal: st.decimals().map(str),
    fields.Bool: st.sampled_from(["true", "no", "1", "off"]),
    fields.Date: st.dates().map(str),
    fields.Time: st.times().map(str),
    fields.DateTime: st.datetimes(timezones=st.none() | st.timezones()).map(
        lambda moment: moment.isoformat()
    ),
    fields.TimeDelta: st.integers().map(str),
    fields.UUID: st.uuids().map(str),
    fields.IP: st.ip_addresses().map(str),
    fields.List: st.integers(0, 9).map(str),
    fields.DelimitedList: st.lists(st.integers(), max_size=3).map(
        lambda values: ",".join(map(str, values))
    ),
    fields.Dict: st.dictionaries(st.text(max_size=3), NUMBERS, max_size=3).map(
        json.dumps
    ),
    fields.Nested: st.sampled_from(
        ['{"x": 1}', '{"x": 1, "more": [{"x": 2}], "street-name": "s"}']
    ),
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS | ODD,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["x", "more", "1"]) | TEXTS, inner, max_size=4
        )
    ),
    max_leaves=6,
)


def _fitting(field):
    classes = (FITTING.get(one) for one in type(field).__mro__)
    return next((found for found in classes if found is not None), TEXTS)


ARGUMENTS = {
    field.data_key or name: _fitting(field)
    for name, field in fuzzed.get_predict_args().items()
}
"""Names that callers use, and texts that fit."""

FILES = ("file", "volume", "files", "files[]", "untyped")
PLACED = [
    (field.data_key or name, field.metadata["location"])
    for name, field in fuzzed.get_predict_args().items()
    if "location" in field.metadata
]
HEADERS = [name for name, place in PLACED if place == "headers" and name != "accept"]
COOKIES = [name for name, place in PLACED if place == "cookies"]


NAMES = st.sampled_from([*ARGUMENTS])


@st.composite
def pairs(draw, names=NAMES, values=TEXTS):
    """Names and texts; few, since a single misfit is the whole answer."""
    name = draw(st.one_of(names, names, names, TEXTS))
    fitting = ARGUMENTS.get(name, TEXTS)
    name += draw(st.sampled_from([""] * 9 + ["[]"]))
    return name, draw(st.one_of(fitting, fitting, ODD, values))


def _lists(values, most=4):
    return st.lists(values, max_size=most)


# -- what a body, a query, a header may look like

CHARSETS = st.sampled_from(
    [
        *("utf-8", "UTF8", "latin-1", "utf-16", "utf-7", "cp037", "unicode_escape"),
        *("idna", "punycode", "undefined", "rot13", "base64", "mbcs", "nonsense"),
        *("", '"utf-8"', "'", "\xe9", "\t", "utf-8; charset=ascii", "x" * 200),
    ]
)


@st.composite
def urlencoded(draw):
    written = st.sampled_from([quote, quote_plus])
    text = "&".join(
        "=".join(draw(written)(part, errors="surrogatepass") for part in pair)
        for pair in draw(_lists(pairs()))
    )
    odd = ["", "", "", "&", "=", "%", "%zz", "%ff", "+", ";", "&&x&=y", "a=%00", "=="]
    return text + draw(st.sampled_from(odd))


@st.composite
def json_bodies(draw):
    text_or_value = st.one_of(pairs(values=JSON_VALUES), pairs(values=JSON_VALUES))
    given = dict(draw(_lists(text_or_value)))
    for name in draw(_lists(st.sampled_from([*ARGUMENTS]), 3)):
        given[name] = draw(JSON_VALUES)
    value = draw(st.one_of(st.just(given), st.just(given), JSON_VALUES))
    text = json.dumps(value, ensure_ascii=draw(st.booleans()))
    if draw(st.integers(0, 19)) == 19:
        depth = draw(st.sampled_from([100, 300, 500, 800, 900, 950, 1000, 10_000]))
        text = json.dumps({draw(st.sampled_from(["raw", "in json"])): "|"})
        text = text.replace('"|"', "[" * depth + "]" * depth)
    encoding = draw(st.sampled_from(["utf-8"] * 6 + ["utf-16", "utf-32", "utf-8-sig"]))
    return text.encode(encoding, "surrogatepass")


MEDIA_TYPES = [
    *("text/plain", "image/png", "application/octet-stream", "", "nonsense", "a/b; c"),
    *("multipart/mixed; boundary=x", "application/json", "TEXT/PLAIN;", "\xe9/é"),
]
CONTENTS = st.one_of(
    st.binary(max_size=50),
    st.sampled_from([b"", b"x" * 10, b"\r\n--limit", b"\n--limit--\n", b"\0" * 9]),
)
SIZES = st.sampled_from([1] * 15 + [3000, 60_000])
FILENAMES = st.one_of(
    TEXTS,
    st.sampled_from(
        [
            *("a.png", "", "..", "../../etc/passwd", "/", "C:\\a\\b.nii.gz", "\0"),
            *('a"b.png', "x" * 300 + ".gz", "Zähler 測定.png", ".", "a\r\nb", "CON"),
        ]
    ),
)
BOUNDARIES = st.sampled_from(
    [*["limit"] * 6, "'()+_,-./:=?", "a b", "x" * 70, "x" * 250, "-", "--", "limit--"]
)


@st.composite
def parts(draw):
    """One part of a form: a text, a file, or neither."""
    name, text = draw(pairs())
    is_file = draw(st.booleans())
    if is_file:
        name = draw(st.one_of(st.sampled_from(FILES), st.just(name)))
    disposition = draw(st.sampled_from(["form-data"] * 9 + ["attachment", "", "x; y"]))
    named = draw(st.sampled_from(['; name="%s"'] * 12 + ["; name=%s", ";name*=%s", ""]))
    disposition += named.replace("%s", name.replace('"', '\\"'))
    if is_file:
        form = draw(
            st.sampled_from(
                [
                    *("; filename=%s", "; filename*=UTF-8''%s", "; filename*=x'%s"),
                    '; filename="=?utf-8?Q?%s?="; filename*=\'',
                ]
            )
        )
        filename = draw(FILENAMES)
        plain = '"' + filename.replace('"', '\\"') + '"'
        encoded = quote(filename, errors="surrogatepass")
        disposition += form.replace("%s", encoded if "*" in form else plain)
    lines = [f"Content-Disposition: {disposition}"]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(MEDIA_TYPES))
        charset = draw(st.sampled_from(["", "", "; charset="]))
        lines.append(
            f"Content-Type: {kind}{charset}" + (draw(CHARSETS) * bool(charset))
        )
    odd = [
        "Content-Length: 1",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: quoted-printable",
        "Content-Transfer-Encoding: x",
        "X:",
        ":",
        "no colon",
    ]
    lines += draw(_lists(st.sampled_from(odd), 1)) * draw(st.sampled_from([0, 0, 0, 1]))
    head = "\r\n".join(re.sub(r"[\r\n]", " ", line) for line in lines)
    content = text.encode("utf-8", "surrogatepass")
    if is_file or draw(st.booleans()):
        content = draw(st.one_of(st.just(content), CONTENTS)) * draw(SIZES)
    return head.encode("utf-8", "surrogatepass") + b"\r\n\r\n" + content


@st.composite
def forms(draw):
    """A multipart body that is well made, but for its parts, and its boundary."""
    boundary = draw(BOUNDARIES)
    found = draw(_lists(parts()))
    start = f"--{boundary}\r\n".encode()
    body = b"".join(start + part + b"\r\n" for part in found)
    around = draw(st.sampled_from([(b"", b"\r\n")] * 5 + [(b"pre\r\n", b"\r\nafter")]))
    return boundary, body + f"--{boundary}--".encode() + around[1]


# -- heads

PREDICT = "/v2/models/fuzzed/predict"
PATHS = st.sampled_from([PREDICT] * 17 + ["/v2/models/fuzzed/train/"] * 2)
VISIBLE = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=20).map(
    lambda text: re.sub("[\x7f-\x9f]", "", text)
)
RANGES = [
    *("*/*", "application/json", "text/plain", "image/png;q=0.5, */*;q=0.1", "image/*"),
    *("application/zip", "text/event-stream", "application/x-ndjson", "text/csv", ","),
    *("a/b;q=nan", "a/b;q=inf, c/d;q=-1", ";;;", "*", "*/png", "a/b;q=", "/", "\xff/é"),
    *(
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "a/b;c=d;q=1;e=f",
        '"',
        "text/*" * 9,
    ),
]
COMMON = [
    *("Prefer: respond-async", "Prefer: ;,respond-ASYNC;x=1", "Connection: close"),
    *("X-Request-ID: a b", "X-Request-ID: " + "x" * 200, "X-Request-ID: mine", "X:"),
    *("Accept-Encoding: gzip", "Accept-Encoding: *;q=x", "Accept-Encoding: ,gzip;q=0."),
    *('Accept-Encoding: *;q=0, "', "Accept-Encoding: x-gzip, identity;q=0;q=1"),
    *("Expect: 100-continue", "Range: bytes=0-4", "Cookie: a", "TE: trailers"),
    *(
        "If-None-Match: *",
        "If-Modified-Since: nonsense",
        "Authorization: \xff",
        "A: \t",
    ),
    *("Content-Language: x", "Host: y", "Accept: */*", "Upgrade: h2c", "Origin: null"),
]


@st.composite
def header_lines(draw):
    """A header that HTTP allows, whether we know it or not."""
    which = draw(st.sampled_from(["common", "accept", "argument", "cookie"]))
    if which == "common":
        return draw(st.sampled_from(COMMON))
    if which == "accept":
        return "Accept: " + draw(st.sampled_from(RANGES) | VISIBLE)
    names = HEADERS if which == "argument" else COOKIES
    name, value = draw(pairs(st.sampled_from(names), VISIBLE))
    value = re.sub("[\x00-\x1f\x7f]", "", value)
    if which == "argument":
        return f"{draw(st.sampled_from(HEADERS))}: {value}"
    odd = draw(
        st.sampled_from(["", "; ", "; =", "; Path=/", "; $Version=1", '="', ";,"])
    )
    return f"Cookie: {re.sub('[^a-z]', '', name)}={value}{odd}"


def _head(method, target, lines):
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines, "", ""])
    return head.encode("utf-8", "surrogatepass")


@st.composite
def posts(draw, kinds_and_bodies, paths=PATHS):
    """POST a body, in one of the ways that there are to transfer one."""
    kind, body = draw(kinds_and_bodies)
    lines = [f"Content-Type: {kind}"] if kind else []
    lines += draw(_lists(header_lines(), 2))
    coding = draw(st.sampled_from([""] * 17 + ["gzip", "deflate", "br"]))
    if coding:
        lines.append(f"Content-Encoding: {coding}")
        squeeze = {"gzip": gzip.compress, "deflate": zlib.compress}.get(coding, bytes)
        body = draw(st.sampled_from([squeeze, bytes]))(body)
    if draw(st.integers(0, 9)) == 9:
        lines.append("Transfer-Encoding: chunked")
        size = draw(st.sampled_from([10_000, 100, 7])) if len(body) < 5000 else 10_000
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in [*pieces, b""])
    else:
        lines.append(f"Content-Length: {len(body)}")
    query = draw(st.sampled_from(["", "", "", "?"]))
    target = draw(paths) + query + (draw(urlencoded()) if query else "")
    head = _head("POST", target[:6000], lines)
    cut = draw(st.sampled_from([0] * 9 + [len(head), len(head) + len(body) // 2]))
    return Request(head + body, cut=cut)


@st.composite
def multipart_bodies(draw):
    boundary, body = draw(forms())
    kind = f'multipart/form-data; boundary="{boundary}"'
    odd = [
        *(
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "MULTIPART/form-data",
        ),
        *(
            "multipart/form-data; boundary*=utf-8''limit; x",
            f"{kind}; {kind}",
            "multipart/x",
        ),
        f"multipart/form-data; charset=utf-16; boundary={boundary}",
    ]
    return draw(st.sampled_from([kind] * 20 + odd)), body


@st.composite
def urlencoded_bodies(draw):
    kind = "application/x-www-form-urlencoded"
    charset = draw(st.sampled_from(["", "", "", "; charset="]))
    if charset:
        charset += draw(CHARSETS)
    body = draw(urlencoded()).encode("utf-8", "surrogatepass")
    return kind + charset, body + draw(
        st.sampled_from([b""] * 9 + [b"\xff", b"a=\xff"])
    )


JSON_TYPES = st.sampled_from(
    [
        *["application/json"] * 9,
        "application/x+json",
        "Application/JSON; charset=x",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        "+json",
    ]
)
NO_BODY = st.tuples(st.sampled_from(["", "", "text/plain", "nonsense"]), st.just(b""))


def _mutated(draw, data, tokens):
    """Change some bytes of some: flipped, cut, doubled, or replaced by tokens."""
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, 2000)) % (len(data) + 1)
        length = draw(st.sampled_from([0, 1, 1, 2, 10, 1000]))
        how = draw(st.sampled_from(["flip", "cut", "end", "double", "token"]))
        piece = data[at : at + length]
        new = {
            "flip": bytes(b ^ (1 << draw(st.integers(0, 7))) for b in piece[:2])
            + piece[2:],
            "cut": b"",
            "double": piece + piece,
        }
        if how == "end":
            data = data[:at]
        elif how == "token":
            data = data[:at] + draw(st.sampled_from(tokens)) + data[at + length :]
        else:
            data = data[:at] + new[how] + data[at + length :]
    return data


FORM_TOKENS = [
    *(b"--limit", b"--limit--", b"\r\n--limit\r\n", b"\r\n--limit--", b"\r\n", b"\n"),
    *(b"\r", b"\0", b"--", b"\r\n\r\n", b'"', b"Content-Disposition: form-data", b":"),
    *(b'; name="file"', b"; filename=", b"Content-Type: text/plain; charset=", b"\xff"),
]


@st.composite
def mutated_forms(draw):
    """A body with parts of every kind, mutated; its length is right."""
    one = (
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
        b"Content-Type: image/png\r\n\r\ncontent\r\n--limit\r\nContent-Disposition: "
        b'form-data; name="text"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx'
        b'\r\n--limit\r\nContent-Disposition: form-data; name="integer"\r\n\r\n1\r\n'
        b'--limit\r\nContent-Disposition: form-data; name="files"; filename="b"'
        b"\r\n\r\n\r\n--limit--\r\n"
    )
    body = draw(st.one_of(st.just(one), forms().map(lambda form: form[1])))
    return "multipart/form-data; boundary=limit", _mutated(draw, body, FORM_TOKENS)


@st.composite
def mutated_texts(draw):
    """A JSON or urlencoded body, mutated."""
    tokens = [
        b'"',
        b"{",
        b"]",
        b",",
        b"\\u",
        b"\\ud800",
        b"1e999",
        b"&",
        b"=",
        b"%",
        b"\xff",
    ]
    made = st.one_of(
        st.tuples(st.just("application/json"), json_bodies()), urlencoded_bodies()
    )
    kind, body = draw(made)
    return kind, _mutated(draw, body, tokens)


@st.composite
def lying_lengths(draw):
    """A body that ends before, or after, its head says."""
    _, body = draw(mutated_forms())
    by = draw(st.integers(-len(body), 200))
    lines = [
        "Content-Type: multipart/form-data; boundary=limit",
        f"Content-Length: {len(body) + by}",
        "Connection: close",
    ]
    must = Must.ANSWER if by == 0 else Must.ANSWER_OR_CLOSE
    return Request(_head("POST", PREDICT, lines) + body, must)


@st.composite
def broken_heads(draw):
    """Something that has been HTTP."""
    whole = draw(st.one_of(requests_of("multipart"), requests_of("urlencoded")))
    tokens = [
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b"\0",
            b" ",
            b"\t",
            b":",
            b"\xff",
            b"HTTP/1.0",
            b"HTTP/9",
        ),
        *(
            b"Content-Length: 9\r\n",
            b"Content-Length: -1\r\n",
            b"Content-Length: x\r\n",
        ),
        *(
            b"Transfer-Encoding: chunked\r\n",
            b"Transfer-Encoding: x\r\n",
            b"Expect: x\r\n",
        ),
        *(b"X: " + b"y" * 9000 + b"\r\n", b"GET * HTTP/1.1\r\n", b"CONNECT x:1", b"//"),
        *(b"http://[/", b"ffffffffffffffff\r\n", b"-1\r\n", b"?\xff", b"/../..", b"#"),
    ]
    end = whole.data.find(b"\r\n\r\n") + 4
    head = _mutated(draw, whole.data[:end], tokens)
    return Request(head + whole.data[end:], Must.END)


METHODS = ["GET"] * 6 + ["HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"]
ROUTES = [
    *("/", "/v2", "/v2/models", "/v2/models/{}", "/v2/models/{}/predict", "/v2/{}"),
    *("/v2/models/fuzzed/", "/v2/health/live", "/v2/health/ready", "/v2/debug", "/api"),
    *("/swagger.json", "/ui", "/metrics", "/{}", "/api/{}", "/static/swagger/{}"),
    *("/v2/models/fuzzed/train", "/v2/models/fuzzed/train/") * 3,
    *(
        f"/v2/models/fuzzed/{kind}/{{}}{rest}"
        for kind in ("train", "predict")
        for rest in ("", "/log", "/events", "/metrics", "/result", "/{}")
    ),
]
SEGMENTS = st.one_of(
    st.sampled_from(
        ["fuzzed", "accept_any", "0" * 32, "..", "../..", "%2e%2e%2f", "%"]
    ),
    st.one_of(TEXTS, ODD).map(
        lambda text: quote(text, safe="", errors="surrogatepass")
    ),
)
QUERIES = st.sampled_from(
    ["", "limit=", "offset=", "status=", "follow=", "accept=", "x"]
)


@st.composite
def routed(draw):
    """Any route, any method, any query, no body."""
    path = draw(st.sampled_from(ROUTES)).replace("{}", draw(SEGMENTS))
    values = st.one_of(
        st.integers().map(str), ODD, st.sampled_from(["done", "queued", "1"])
    )
    query = "&".join(
        name + quote(draw(values), errors="surrogatepass")
        for name in draw(_lists(QUERIES, 2))
    )
    lines = draw(_lists(header_lines(), 2))
    target = f"{path}?{query}" if query else path
    return Request(_head(draw(st.sampled_from(METHODS)), target[:6000], lines))


ANY_TYPE = st.just("/v2/models/accept_any/predict")


@st.composite
def negotiated(draw):
    """Nothing but an accept, of a model that takes any."""
    value = draw(st.one_of(ODD, st.sampled_from(RANGES), TEXTS))
    where = draw(st.sampled_from(["header", "query", "form", "json"]))
    nothing = st.tuples(st.just(""), st.just(b""))
    if where == "header":
        return draw(posts(nothing, ANY_TYPE))
    encoded = "accept=" + quote(value, errors="surrogatepass")
    if where == "query":
        return draw(posts(nothing, ANY_TYPE.map(lambda path: f"{path}?{encoded}")))
    bodies = {
        "form": ("application/x-www-form-urlencoded", encoded.encode()),
        "json": ("application/json", json.dumps({"accept": value}).encode()),
    }
    return draw(posts(st.just(bodies[where]), ANY_TYPE))


KINDS = {
    "multipart": posts(multipart_bodies()),
    "urlencoded": posts(urlencoded_bodies()),
    "json": posts(st.tuples(JSON_TYPES, json_bodies())),
    "query and headers": posts(
        NO_BODY,
        PATHS.flatmap(lambda path: urlencoded().map(lambda query: f"{path}?{query}")),
    ),
    "accept": negotiated(),
    "routes": routed(),
    "mutated multipart": posts(mutated_forms()),
    "mutated text": posts(mutated_texts()),
    "lying lengths": lying_lengths(),
    "broken heads": st.deferred(broken_heads),
}
"""What there is to send, by the name of what is wrong with it."""


def requests_of(kind):
    return KINDS[kind]


# -- sending them, and judging the answers


class Fault(AssertionError):
    """The server did what no client may make it do."""

    def __init__(self, what: str, request: Request) -> None:
        super().__init__(f"{what}\n{request!r}")
        self.what = what
        self.request = request


class Hang(BaseException):
    """No answer in time. No Exception: Hypothesis would take hours to shrink it."""


class Hunt:
    """Sends requests to a port of 127.0.0.1; counts them, and what came back."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sent = 0
        self.statuses: Counter[int] = Counter()
        self.closed = 0
        self.refused = 0

    def run(self, kind: str, examples: int, seed: int) -> None:
        """Raise Fault with the shortest request that causes one."""

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            suppress_health_check=list(hypothesis.HealthCheck),
            report_multiple_bugs=False,
            print_blob=False,
        )
        @hypothesis.given(KINDS[kind])
        def send(request):
            self.send(request)

        send()

    def send(self, request: Request) -> None:
        """Send one request, and another one if the connection stays."""
        self.sent += 1
        address = ("127.0.0.1", self.port)
        try:
            with socket.create_connection(address, timeout=PATIENCE) as connection:
                self._exchange(connection, request)
        except TimeoutError:
            raise Hang(f"no answer in {PATIENCE} s\n{request!r}") from None

    def _exchange(self, connection, request):
        try:
            _write(connection, request)
            answer, body = _read(connection, request.data)
        except (http.client.HTTPException, ConnectionError) as error:
            self.closed += 1
            if request.must is Must.ANSWER:
                raise Fault(f"no whole answer: {error!r}", request) from error
            return
        self.statuses[answer.status] += 1
        if answer.status >= 500:
            number = answer.headers.get("X-Request-ID", "")
            raise Fault(f"{answer.status} {body[:500]!r} ({number})", request)
        if request.must is Must.END:
            return
        if "X-Request-ID" not in answer.headers:
            # aiohttp has refused it in its own words, before we saw it: a coding that
            # it does not know or that is broken, two Host, data after the end.
            self.refused += 1
        elif answer.status >= 400 and not _explains(answer, body):
            raise Fault(f"{answer.status} without a reason: {body[:500]!r}", request)
        if not answer.will_close and request.must is Must.ANSWER:
            self._once_more(connection, request)

    def _once_more(self, connection, request):
        """What follows on the same connection is not taken for the same request."""
        try:
            connection.sendall(_head("GET", "/v2/health/live", ["Connection: close"]))
            answer, _ = _read(connection, b"GET")
        except (http.client.RemoteDisconnected, ConnectionError):
            return
        except http.client.HTTPException as error:
            raise Fault(f"the next answer is {error!r}", request) from error
        if answer.status != 200:
            raise Fault(f"the next request got {answer.status}", request)


def held(server):
    """What a server holds that a request might have left: files, tasks, descriptors.

    One thread or another of a pool is no leak, nor is the database that it opens.
    """
    return {
        "temporary files": len(list(server.temporary.rglob("*"))),
        "tasks": server.get("/v2/models/fuzzed/").json()["tasks"],
        "descriptors": sum(
            not target.startswith("jobs.sqlite") for target in _descriptors(server.pid)
        ),
    }


def _descriptors(pid):
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield link.readlink().name


def errors(server):
    """What a server has logged as an error, but for what is no HTTP: a 400."""
    lines = server.stderr.splitlines()
    return [line for line in lines if " ERROR " in line and not REFUSED.search(line)]


def is_idle(server):
    """Tell whether the jobs that requests have begun are over."""
    workers = server.get("/v2/health/ready").json()["models"]["fuzzed"]["workers"]
    return all(worker["state"] == "idle" for worker in workers)


def _write(connection, request):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if request.cut:
        connection.sendall(request.data[: request.cut])
        time.sleep(PAUSE)
    connection.sendall(request.data[request.cut :])
    if request.must is not Must.ANSWER:
        with contextlib.suppress(OSError):  # the server may have hung up
            connection.shutdown(socket.SHUT_WR)


def _read(connection, data):
    method = data.partition(b" ")[0].decode("latin-1")
    with http.client.HTTPResponse(connection, method=method) as answer:
        answer.begin()
        return answer, answer.read()


def _explains(answer, body):
    """Tell whether an error says what it is, by argument or with a message."""
    if answer._method == "HEAD":
        return not body
    try:
        value = json.loads(body)
    except ValueError:
        return False
    if answer.headers.get_content_type() != "application/json" or not value:
        return False
    if value.keys() == {"message"} and isinstance(value["message"], str):
        return True
    by_argument = answer.status == 422 or (answer.status, *value) == (400, "json")
    return by_argument and all(isinstance(v, list | dict) for v in value.values())
