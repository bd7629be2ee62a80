"""Strategies for bodies and queries."""

import json
import re
from urllib.parse import quote, quote_plus

from hypothesis import strategies as st

from tests.fuzzing.values import ARGUMENTS, FILES, JSON_VALUES, TEXTS, lists, pairs

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
        for pair in draw(lists(pairs()))
    )
    odd = ["", "", "", "&", "=", "%", "%zz", "%ff", "+", ";", "&&x&=y", "a=%00", "=="]
    return text + draw(st.sampled_from(odd))


@st.composite
def json_bodies(draw):
    text_or_value = st.one_of(pairs(values=JSON_VALUES), pairs(values=JSON_VALUES))
    given = dict(draw(lists(text_or_value)))
    for name in draw(lists(st.sampled_from([*ARGUMENTS]), 3)):
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
    lines += draw(lists(st.sampled_from(odd), 1)) * draw(st.sampled_from([0, 0, 0, 1]))
    head = "\r\n".join(re.sub(r"[\r\n]", " ", line) for line in lines)
    content = text.encode("utf-8", "surrogatepass")
    if is_file or draw(st.booleans()):
        content = draw(st.one_of(st.just(content), CONTENTS)) * draw(SIZES)
    return head.encode("utf-8", "surrogatepass") + b"\r\n\r\n" + content


@st.composite
def forms(draw):
    """Make a valid multipart body of any parts; return it with its boundary."""
    boundary = draw(BOUNDARIES)
    found = draw(lists(parts()))
    start = f"--{boundary}\r\n".encode()
    body = b"".join(start + part + b"\r\n" for part in found)
    around = draw(st.sampled_from([(b"", b"\r\n")] * 5 + [(b"pre\r\n", b"\r\nafter")]))
    return boundary, body + f"--{boundary}--".encode() + around[1]
