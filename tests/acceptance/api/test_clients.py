"""Requests of real clients: .NET, browsers' Blobs, jQuery, curl without a type."""

import base64
import json
import math
import quopri
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.conftest import Serve
from tests.server import MODELS, prediction, wait_until

SENT = "/v2/models/sent/predict"
BACK = "/v2/models/gives_back/predict"
BOUNDARY = "limit"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
DEFAULT = {"threshold": "0.5"}


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    names = ("sent", "gives_back", "upload_or_fail", "quick")
    models = [f"--model={name}={MODELS / name}.py" for name in names]
    return serve_module(*models, "--raw-predictions", errors_expected=True)


@pytest.fixture(scope="module")
def strict(serve_module: Serve):
    return serve_module("--strict-arguments", f"--model=sent={MODELS / 'sent.py'}")


def form(*parts):
    """Parts of a disposition, more headers, and content."""
    pieces = [
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n".encode()
        + "".join(f"{header}\r\n" for header in headers).encode()
        + b"\r\n"
        + content
        + b"\r\n"
        for disposition, headers, content in parts
    ]
    return {
        "content": b"".join(pieces) + f"--{BOUNDARY}--\r\n".encode(),
        "headers": MULTIPART,
    }


def sent(answer):
    """Return the values that reached the model, without the default one."""
    assert answer.status_code == 200, answer.text
    values = prediction(answer)
    assert values.pop("threshold") == "0.5"
    return values


# -- names of files

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


# -- what is ignored


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"params": {"treshold": 1, "n": 1}}, ["treshold"]),
        ({"json": {"treshold": 1, "m": 2}}, ["treshold", "m"]),
        ({"data": {"N": 1}, "params": {"m": 1}}, ["m", "N"]),
        ({"files": {"picture": ("a.png", b"x"), "n": (None, b"1")}}, ["picture"]),
        ({"params": {"n[]": 1}}, ["n[]"]),
        ({"json": {"in query": 1}}, ["in query"]),
        ({"params": {"image": "x"}}, ["image"]),
        ({"json": {"a,b": 1, "é\r\nX: y": 2, "\ud800": 3}}, ["a,b", "é\r\nX: y", "?"]),
    ],
)
def test_what_is_ignored_is_named(server, options, names):
    if "json" in options:
        head = {"Content-Type": "application/json"}
        options = {"content": json.dumps(options["json"]), "headers": head}
    answer = server.post(SENT, **options)
    assert answer.status_code == 200
    header = answer.headers["X-Ignored-Arguments"]
    assert [unquote(name) for name in header.split(", ")] == names
    assert header.isascii()
    request_id = answer.headers["X-Request-ID"]
    line = server.wait_for_output(rf"{request_id} .*predict.* ignored (.*)")
    assert header in line[0]


def test_many_and_long_names_that_are_ignored(server):
    answer = server.post(SENT, json={"💩" * 100 + str(n): 1 for n in range(5000)})
    assert answer.status_code == 200
    assert len(answer.headers["X-Ignored-Arguments"]) < 2100
    answer = server.post(SENT, json={f"a{n}": 1 for n in range(30)})
    assert answer.headers["X-Ignored-Arguments"].endswith("a19, ...")


def test_what_is_not_ignored(server):
    both = {"params": {"in query": 1}, "json": {"in query": 2, "n": 1}}
    answer = server.post(SENT, **both)
    assert sent(answer) == {"in query": "1", "n": "1"}
    assert "X-Ignored-Arguments" not in answer.headers


def test_the_ignored_are_named_in_errors_and_jobs_and_by_models_without_arguments(
    server,
):
    wrong = server.post(SENT, params={"n": "x", "m": 1})
    assert wrong.status_code == 422
    assert wrong.headers["X-Ignored-Arguments"] == "m"
    job = server.post(SENT, json={"m": 1}, headers={"Prefer": "respond-async"})
    assert job.headers["X-Ignored-Arguments"] == "m"
    job = server.post("/v2/models/sent/train", data={"m": 1})
    assert job.headers["X-Ignored-Arguments"] == "m"
    for options in ({"json": {"zz": 1}}, {"data": {"zz": 1}}, {"params": {"zz": 1}}):
        answer = server.post("/v2/models/quick/predict", **options)
        assert answer.headers["X-Ignored-Arguments"] == "zz"


def test_strict_arguments(strict):
    def refused(**options):
        answer = strict.post(SENT, **options)
        assert answer.status_code == 422, answer.text
        return answer.json()

    nearest = {"treshold": ["Unknown argument; did you mean 'threshold'?"]}
    assert refused(params={"treshold": 1}) == nearest
    assert refused(json={"treshold": 1}) == nearest
    assert refused(files={"treshold": ("a", b"x")}) == nearest
    assert refused(data={"treshold": 1, "n": "x"}) == {
        **nearest,
        "n": ["Not a valid integer."],
    }
    assert refused(json={"zzzzzz": 1}) == {"zzzzzz": ["Unknown argument."]}
    places = "Not looked for in a JSON body, but in the query."
    assert refused(json={"in query": 1}) == {"in query": [places]}
    assert len(refused(json={"💩" * 100 + str(n): 1 for n in range(5000)})) <= 20
    good = strict.post(SENT, data={"n": 1, "sizes[]": [1, 2], "image": ""})
    assert good.status_code == 200
    job = strict.post("/v2/models/sent/train", json={"treshold": 1})
    assert job.status_code == 422
    assert strict.get("/v2/models/sent/train").json() == []


@pytest.mark.parametrize(
    "text",
    [
        b'{"n": 1}',
        b' {"text": "a&b=c", "n": 1}\r\n',
        b'{"n": 1,}',
        b"{'n': 1}",
        b"[1, 2]",
        b"%7B%22n%22%3A%201%7D",
        b'{"text": "' + b"a" * 100_000 + b'"}',
    ],
)
def test_json_that_is_sent_as_a_form(server, text):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = server.post(SENT, content=text, headers=headers)
    assert answer.status_code == 422
    [message] = answer.json()["json"]
    assert "Content-Type: application/json" in message


@pytest.mark.parametrize(
    "text", [b"{n}=1&n=2", b"{n=1&n=2", b"%5B1%5D=1&n=2", b"n=2&{}"]
)
def test_a_form_that_looks_like_json(server, text):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert sent(server.post(SENT, content=text, headers=headers)) == {"n": "2"}


# -- files that come back


@pytest.mark.parametrize("size", [10, 3_000_000])
@pytest.mark.parametrize("how", ["open", "unbuffered", "path", "itself"])
@pytest.mark.parametrize("name", ["data", "several"])
def test_an_upload_that_comes_back_keeps_its_name(server, how, size, name):
    content = b"x" * size
    file = (name, ("größe.nii.gz", content))
    answer = server.post(BACK, files=[file], params={"how": how})
    assert answer.content == content
    disposition = answer.headers["Content-Disposition"]
    assert disposition.endswith("filename*=UTF-8''gr%C3%B6%C3%9Fe.nii.gz")
    assert "deepaas-" not in disposition
    wait_until(lambda: list(server.temporary.iterdir()) == [])


def test_an_upload_without_a_name_comes_back_without_one(server):
    part = ('name="data"; filename=""', ["Content-Type: image/png"], b"content")
    answer = server.post(BACK, **form(part))
    assert answer.content == b"content"
    assert "Content-Disposition" not in answer.headers


def test_other_files_and_the_results_of_jobs(server):
    options = {"files": {"data": ("a.txt", b"content")}, "params": {"how": "copy"}}
    answer = server.post(BACK, **options)
    assert answer.headers["Content-Disposition"].endswith('filename="copy.bin"')
    options["params"] = {"how": "open"}
    answer = server.post(BACK, **options, headers={"Prefer": "respond-async"})
    job = f"{BACK}/{answer.json()['uuid']}"
    wait_until(lambda: server.get(job).json()["status"] == "done")
    result = server.get(f"{job}/result")
    assert result.content == b"content"
    assert result.headers["Content-Disposition"] == 'inline; filename="a.txt"'


def test_the_envelope_of_a_jobs_result(server):
    answer = server.post(SENT, json={"n": 1}, headers={"Prefer": "respond-async"})
    job = f"{SENT}/{answer.json()['uuid']}"
    wait_until(lambda: server.get(job).json()["status"] == "done")
    assert sent(server.get(f"{job}/result")) == {"n": "1"}
