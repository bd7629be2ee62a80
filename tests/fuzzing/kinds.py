"""Unusual and invalid requests, with the answers that they require.

`KINDS` builds requests with Hypothesis, as raw bytes: a client such as httpx would
clean them up. Used by tests/acceptance/api/test_fuzz.py, at a size that a suite bears,
and by benchmarks/fuzz.py.
"""

import gzip
import json
import re
import zlib
from urllib.parse import quote

from hypothesis import strategies as st

from tests.fuzzing.bodies import CHARSETS, forms, json_bodies, urlencoded
from tests.fuzzing.requests import Must, Request
from tests.fuzzing.tensors import tensor_bodies
from tests.fuzzing.values import COOKIES, HEADERS, ODD, TEXTS, lists, pairs

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


def make_head(method, target, lines):
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines, "", ""])
    return head.encode("utf-8", "surrogatepass")


@st.composite
def posts(draw, kinds_and_bodies, paths=PATHS):
    """POST a body, in one of the ways that there are to transfer one."""
    kind, body = draw(kinds_and_bodies)
    lines = [f"Content-Type: {kind}"] if kind else []
    lines += draw(lists(header_lines(), 2))
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
    head = make_head("POST", target[:6000], lines)
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
    return Request(make_head("POST", PREDICT, lines) + body, must)


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
        for name in draw(lists(QUERIES, 2))
    )
    lines = draw(lists(header_lines(), 2))
    target = f"{path}?{query}" if query else path
    return Request(make_head(draw(st.sampled_from(METHODS)), target[:6000], lines))


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


@st.composite
def tensors(draw, *, mutated=False):
    """A request of the Open Inference Protocol; its lengths may be wrong."""
    head, tail = draw(tensor_bodies())
    right = str(len(head))
    lengths = [right] * 6 + ["0", "-1", "x", str(len(head) + 1), str(len(head) - 1)]
    length = draw(st.sampled_from(lengths))
    body = head + tail
    if mutated:
        body = _mutated(draw, body, TENSOR_TOKENS)
    lines = [f"Content-Length: {len(body)}"]
    if tail or draw(st.booleans()):
        lines.append(f"Inference-Header-Content-Length: {length}")
    path = draw(st.sampled_from(["", "versions/1/"]) if mutated else st.just(""))
    return Request(make_head("POST", f"/v2/models/fuzzed/{path}infer", lines) + body)


TENSOR_TOKENS = [
    *(b'"', b"[", b"]", b"{", b"}", b"null", b"NaN", b"1e999", b"\xff", b"\0" * 4),
    *(b'"BYTES"', b'"FP32"', b'"shape":[2]', b'"data":[1]', b'"\\ud800"', b"-0.0"),
    *(b"99999999999999999999", b'"content_type":"json"', b'"binary_data_size":3'),
]


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
    "tensors": tensors(),
    "mutated tensors": tensors(mutated=True),
    "mutated multipart": posts(mutated_forms()),
    "mutated text": posts(mutated_texts()),
    "lying lengths": lying_lengths(),
    "broken heads": st.deferred(broken_heads),
}
"""Strategies for requests, by the names of their kinds."""


def requests_of(kind):
    return KINDS[kind]
