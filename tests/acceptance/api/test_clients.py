"""Requests of real clients: .NET, browsers' Blobs, jQuery, curl without a type."""

import base64
import json
import math
import quopri
from pathlib import Path

import pytest

from tests.acceptance.api.conftest import MULTIPART, SENT, form, sent
from tests.conftest import Serve
from tests.server import MODELS


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    names = ("sent", "gives_back", "upload_or_fail", "quick")
    models = [f"--model={name}={MODELS / name}.py" for name in names]
    return serve_module(*models, "--raw-predictions", errors_expected=True)


WORD = '"=?utf-8?B?YsOkci5wbmc=?="'
EXTENDED = "utf-8''b%C3%A4r.png"


@pytest.mark.parametrize(
    ("names", "original", "suffix"),
    [
        (f"filename={WORD}; filename*={EXTENDED}", "bär.png", ".png"),  # .NET
        (f"filename*={EXTENDED}; filename={WORD}", "bär.png", ".png"),
        (f"filename={WORD}", "bär.png", ".png"),
        ('filename="=?iso-8859-1?Q?b=E4r?= =?utf-8?Q?.nii.gz?="', "bär.nii.gz", ".gz"),
        ('filename="a =?utf-8?Q?=C3=A4?= b.png"', "a ä b.png", ".png"),
        ('filename="=?nonsense?B?YQ==?=.png"', "=?nonsense?B?YQ==?=.png", ".png"),
        ('filename="=?utf-8?B?Y?=.png"', "=?utf-8?B?Y?=.png", ".png"),
        ("filename=a.png; FileName*=ISO-8859-1'de'b%E4r.png", "bär.png", ".png"),
        ("filename=a.png; filename*=nonsense''b.txt", "a.png", ".png"),
        ("filename=a.png; filename*=utf-8''%ff.txt", "a.png", ".png"),
        ("filename=a.png; filename*=b.txt", "a.png", ".png"),
        ("filename*=b%C3%A4r.png", "bär.png", ".png"),
        ("filename*=utf-8''..%2F..%2Fa%00%0D%0A.png", "a\0\r\n.png", ".png"),
        ("filename=\"; filename*=utf-8''a.txt\"", "; filename*=utf-8''a.txt", ".txt"),
    ],
)
def test_the_name_of_a_file(server, names, original, suffix):
    file = (f'name="image"; {names}', ["Content-Type: image/png"], b"content")
    [got] = sent(server.post(SENT, **form(file))).values()
    assert got["original_filename"] == original
    assert Path(got["filename"]).suffix == suffix
    assert Path(got["filename"]).parent == server.temporary
    assert got["content"] == "content"


def test_the_name_of_an_argument_as_an_encoded_word(server):
    part = ('name="=?utf-8?B?Z3LDtsOfZQ==?="', [], b"3")
    assert sent(server.post(SENT, **form(part))) == {"größe": "3"}


# -- Content-Transfer-Encoding

BINARY = bytes(range(256)) * 1000


def encoded(encoding, content, name='name="image"; filename="a.bin"'):
    return form((name, [f"Content-Transfer-Encoding: {encoding}"], content))


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("base64", base64.b64encode(BINARY)),
        ("BASE64 ", base64.encodebytes(BINARY).replace(b"\n", b"\r\n")),
        ("quoted-printable", quopri.encodestring(BINARY)),
        ("binary", BINARY),
        ("8bit", BINARY),
    ],
)
def test_a_file_in_a_transfer_encoding(server, encoding, content):
    [got] = sent(server.post(SENT, **encoded(encoding, content))).values()
    assert got["content"].encode("latin-1") == BINARY


@pytest.mark.parametrize(
    ("encoding", "content"),
    [("base64", b"MsOk"), ("quoted-printable", b"2=C3=\r\n=A4")],
)
def test_a_text_in_a_transfer_encoding(server, encoding, content):
    got = sent(server.post(SENT, **encoded(encoding, content, 'name="text"')))
    assert got == {"text": "2ä"}


@pytest.mark.parametrize("name", ['name="image"; filename="a"', 'name="text"'])
@pytest.mark.parametrize(
    ("encoding", "content", "status"),
    [
        ("base64", b"YW", 400),
        ("base64", b"Y===", 400),
        ("base64", b"YQ==YQ==", 400),
        ("base64", "é".encode(), 400),
        ("uuencode", b"x", 415),
        ("\xe9" * 100, b"x", 415),
    ],
)
def test_a_broken_transfer_encoding(server, encoding, content, status, name):
    answer = server.post(SENT, **encoded(encoding, content, name))
    assert answer.status_code == status
    assert answer.json().keys() == {"message"}
    assert list(server.temporary.iterdir()) == []


# -- JSON


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("application/json; charset=iso-8859-1", "iso-8859-1"),
        ('application/problem+json; charset="windows-1252"', "windows-1252"),
        ("application/json; charset=UTF-8", "utf-8"),
        ("application/json; charset=utf8", "utf-8-sig"),
        ("application/json", "utf-16"),
        ("application/json; charset=utf-16", "utf-16"),
        ("application/json; charset=utf-16", "utf-16-be"),
        ("application/json; charset=utf-16le", "utf-16-le"),
        ("application/json; charset=utf-32", "utf-32"),
        ("application/json", "utf-32-be"),
        ("application/json; charset=shift_jis", "shift_jis"),
    ],
)
def test_json_in_a_charset(server, kind, encoding):
    text = "測" if encoding == "shift_jis" else "é"
    body = json.dumps({"text": text}, ensure_ascii=False).encode(encoding)
    answer = server.post(SENT, content=body, headers={"Content-Type": kind})
    assert sent(answer) == {"text": text}


@pytest.mark.parametrize("charset", ["nonsense", "utf-7", "base64", "punycode", ""])
def test_json_in_no_charset(server, charset):
    headers = {"Content-Type": f"application/json; charset={charset}"}
    answer = server.post(SENT, content=b'{"text": "a"}', headers=headers)
    if charset:
        assert answer.status_code == 400
        assert "encoding" in answer.json()["message"]
    else:
        assert sent(answer) == {"text": "a"}
    wrong = {"Content-Type": "application/json; charset=ascii"}
    answer = server.post(SENT, content='{"text": "é"}', headers=wrong)
    assert answer.status_code == 400
    assert "cannot be decoded" in answer.json()["json"][1]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_not_finite(server, value):
    def post(text):
        headers = {"Content-Type": "application/json"}
        return server.post(SENT, content=text, headers=headers)

    shown = repr(float(value.replace("e", "E")))
    assert sent(post(f'{{"x": {value}}}')) == {"x": shown}
    assert "price" in sent(post(f'{{"price": {value}}}'))
    got = sent(post(f'{{"dict": {{"a": [{value}]}}}}'))
    assert got == {"dict": {"a": [None]}}  # as JSON can say it
    not_finite = "Special numeric values (nan or infinity) are not permitted."
    refused = post(f'{{"threshold": {value}}}')
    assert refused.status_code == 422
    assert refused.json() == {"threshold": [not_finite]}
    for name in ("n", "text", "nested", "image"):
        refused = post(f'{{"{name}": {value}}}')
        if name == "image":  # it is looked for in a form only
            assert sent(refused) == {}
        else:
            assert refused.status_code == 422
            assert refused.json().keys() == {name}
    assert not math.isfinite(float(value))


# -- lists


@pytest.mark.parametrize("place", ["params", "data", "files"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([("sizes[]", "1"), ("sizes[]", "2")], {"sizes": ["1", "2"]}),
        ([("sizes[]", "1")], {"sizes": ["1"]}),
        ([("sizes", "1"), ("sizes[]", "2")], {"sizes": ["1", "2"]}),
        ([("sizes", "[1, 2]")], {"sizes": ["1", "2"]}),
        ([("sizes[]", " [1]")], {"sizes": ["1"]}),
        ([("sizes", "[]")], {"sizes": []}),
        ([("words", '["a", "b"]')], {"words": ["a", "b"]}),
        ([("words", "[a")], {"words": ["[a"]}),
        ([("words", "[1]"), ("words", "[2]")], {"words": ["[1]", "[2]"]}),
        ([("points", '[{"x": 1}, {"x": 2}]')], {"points": [{"x": 1}, {"x": 2}]}),
        ([("points[]", '{"x": 1}')], {"points": [{"x": 1}]}),
        ([("pairs", '[1, "a"]')], {"pairs": [[1, "a"]]}),
        ([("pairs", '[[1, "a"], [2, "b"]]')], {"pairs": [[1, "a"], [2, "b"]]}),
        ([("grid", "[[1], [2, 3]]")], {"grid": [["1"], ["2", "3"]]}),
        ([("delimited", "1,2")], {"delimited": ["1", "2"]}),
        ([("delimited", "[1, 2]")], {"delimited": ["1", "2"]}),
        ([("delimited[]", "1"), ("delimited[]", "2")], {"delimited": ["1", "2"]}),
    ],
)
def test_a_list_in_text(server, place, given, expected):
    if place == "files":
        options = form(*((f'name="{name}"', [], v.encode()) for name, v in given))
    elif place == "data":
        head = {"Content-Type": "application/x-www-form-urlencoded"}
        query = str(server.client.build_request("GET", "/", params=given).url.query)
        options = {"content": query[2:-1], "headers": head}
    else:
        options = {"params": given}
    answer = server.post(SENT, **options)
    assert sent(answer) == expected
    assert "X-Ignored-Arguments" not in answer.headers


def test_brackets_in_json_and_for_files(server):
    assert sent(server.post(SENT, json={"sizes[]": [1]})) == {"sizes": ["1"]}
    files = [("images[]", ("a.png", b"1")), ("images[]", ("b.png", b"2"))]
    got = sent(server.post(SENT, files=files))["images"]
    assert [file["content"] for file in got] == ["1", "2"]
    assert {file["name"] for file in got} == {"images"}
    bad = server.post(SENT, params={"sizes": "[1, x]"})
    assert bad.json() == {"sizes": {"0": ["Not a valid integer."]}}


# -- parts of a form that hold JSON, or nothing

JSON_TYPE = ["Content-Type: application/json"]
BLOB = '; filename="blob"'


@pytest.mark.parametrize("filename", ["", BLOB])
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("nested", b'{"x": 1}', {"x": 1}),
        ("dict", b'{"a": [null]}', {"a": [None]}),
        ("dict", '{"a": "é"}'.encode("utf-16"), {"a": "é"}),
        ("sizes", b"[1, 2]", ["1", "2"]),
        ("words", b'["a"]', ["a"]),
        ("points", b'[{"x": 1}]', [{"x": 1}]),
        ("points", b'{"x": 1}', [{"x": 1}]),
        ("pairs", b'[[1, "a"]]', [[1, "a"]]),
        ("n", b" 3", "3"),
        ("text", b'"a"', "a"),
        ("text", b"not JSON", "not JSON"),
        ("delimited", b"[1, 2]", ["1", "2"]),
    ],
)
def test_a_part_that_is_json(server, name, content, expected, filename):
    options = form((f'name="{name}"{filename}', JSON_TYPE, content))
    assert sent(server.post(SENT, **options)) == {name: expected}


def test_other_parts_with_a_name_of_a_file(server):
    text = (f'name="text"{BLOB}', ["Content-Type: text/plain"], b"a")
    assert sent(server.post(SENT, **form(text))) == {"text": "a"}
    upload = ('name="nested"; filename="a.json"', [], b'{"x": 1}')  # as curl has it
    assert sent(server.post(SENT, **form(upload))) == {"nested": {"x": 1}}
    for name in ("any", "untyped", "image"):  # these take files
        part = (f'name="{name}"{BLOB}', JSON_TYPE, b"{}")
        got = sent(server.post(SENT, **form(part)))[name]
        assert got["content"] == "{}"
        assert got["content_type"] == "application/json"
    for name, content, kind in [
        ("nested", b"{", "application/json"),
        ("nested", b"[" * 10_000, "application/json"),
        ("n", b"3", "image/png"),
        ("sizes", b"3", "image/png"),
    ]:
        part = (f'name="{name}"{BLOB}', [f"Content-Type: {kind}"], content)
        bad = server.post(SENT, **form(part))
        assert bad.status_code == 422
        assert bad.json().keys() == {name}
    part = (f'name="nested"{BLOB}', [*JSON_TYPE], b'{"x": "\xff"}')
    assert server.post(SENT, **form(part)).status_code == 400


EMPTY = [
    form(("%s", [], b"")),
    form(("%s", ["Content-Type: text/plain"], b"")),
    form(('%s; filename=""', ["Content-Type: application/octet-stream"], b"")),
    form(("%s", [], b""), ("%s", [], b"")),
    {
        "content": b"%s=",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    },
]


def named(options, name):
    name = f'name="{name}"' if options["headers"] == MULTIPART else name
    return {**options, "content": options["content"].replace(b"%s", name.encode())}


@pytest.mark.parametrize("options", EMPTY)
def test_an_empty_part_in_place_of_a_file(server, options):
    for name in ("image", "images", "images[]"):
        answer = server.post(SENT, **named(options, name))
        assert sent(answer) == {}
        assert "X-Ignored-Arguments" not in answer.headers
    answer = server.post("/v2/models/upload_or_fail/predict", **named(options, "data"))
    assert answer.status_code == 422
    assert answer.json() == {"data": ["Missing data for required field."]}


def test_an_empty_part_beside_a_file(server):
    empty = ('name="image"', [], b"")
    file = ('name="image"; filename="a"', [], b"1")
    for parts in ([empty, file], [file, empty][::-1]):
        assert sent(server.post(SENT, **form(*parts)))["image"]["content"] == "1"
