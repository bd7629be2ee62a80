"""Arguments in every location, and the values that reach the model."""

import hashlib
import json
import re
import socket
from urllib.parse import quote

import pytest

from tests.conftest import Serve
from tests.server import MODELS, prediction

FIELDS = "/v2/models/every_field/predict"
FILES = "/v2/models/files/predict"
UPLOAD = "/v2/models/upload_or_fail/predict"


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    models = (
        "every_field",
        "files",
        "upload_or_fail",
        "unkind",
        "headers",
        "accept",
        "accept_any",
        "echo",
    )
    options = [("--model", f"{name}={MODELS / name}.py") for name in models]
    return serve_module(
        *(word for option in options for word in option),
        "--raw-predictions",
        "--client-max-size=1000000",
        errors_expected=True,
    )


VALUES = {
    "old style": ("x", "str x"),
    "integer": ("7", "int 7"),
    "float": ("1.5", "float 1.5"),
    "decimal": ("1.50", "Decimal 1.50"),
    "bool": ("true", "bool True"),
    "date": ("2026-01-02", "date 2026-01-02"),
    "datetime": ("2026-01-02T03:04:05", "datetime 2026-01-02 03:04:05"),
    "uuid": ("0" * 31 + "1", "UUID 00000000-0000-0000-0000-000000000001"),
    "url": ("http://a.example/x", "str http://a.example/x"),
    "email": ("a@b.example", "str a@b.example"),
    "choice": ("b", "str b"),
    "delimited": ("1,2", "list [1, 2]"),
    "password": ("secret", "str secret"),
    "demo-image": ("i", "str i"),
    "size(px)": ("3", "int 3"),
    "a,b": ("4", "int 4"),
    "func": ("f", "str f"),
    "self": ("s", "str s"),
}
DEFAULTS = {"old style": "str foo", "new style": "str foo", "none": "NoneType None"}


@pytest.mark.parametrize("place", ["params", "data", "files", "json"])
def test_every_field_in_every_place(server, place):
    sent = {name: value for name, (value, _) in VALUES.items()}
    sent["new-name"] = "r"
    many = ["1", "2"]
    if place == "files":  # multipart
        form = [(name, (None, value)) for name, value in sent.items()]
        options = {"files": form + [("list", (None, one)) for one in many]}
    else:
        options = {place: {**sent, "list": many}}
    answer = server.post(FIELDS, **options)
    assert answer.status_code == 200, answer.text
    expected = {name: value for name, (_, value) in VALUES.items()}
    expected |= {"renamed": "str r", "list": "list [1, 2]"}
    assert prediction(answer) == {**DEFAULTS, **expected}


def test_objects_in_json_and_as_json_text(server):
    value = {"dict": {"a": 1}, "nested": {"x": "2"}}
    text = {name: json.dumps(one) for name, one in value.items()}
    expected = {**DEFAULTS, "dict": "dict {'a': 1}", "nested": "dict {'x': 2}"}
    assert prediction(server.post(FIELDS, json=value)) == expected
    assert prediction(server.post(FIELDS, data=text)) == expected
    bad = server.post(FIELDS, json={"nested": {"x": "no"}, "dict": 3})
    assert bad.status_code == 422
    assert bad.json() == {
        "dict": ["Not a valid mapping type."],
        "nested": {"x": ["Not a valid integer."]},
    }


def test_the_first_place_wins_and_a_location_is_the_only_one(server):
    both = {"params": {"integer": 1, "in_query": 2, "in_form": 3}}
    answer = server.post(
        FIELDS, data={"integer": 4, "in_query": 5, "in_form": 6}, **both
    )
    assert prediction(answer) == {
        **DEFAULTS,
        "integer": "int 1",
        "in_query": "int 2",
        "in_form": "int 6",
    }
    headers = {"x-number": "5", "Cookie": "cookie=c"}
    answer = server.post(FIELDS, headers=headers)
    assert prediction(answer) == {**DEFAULTS, "header": "int 5", "cookie": "str c"}


def test_fields_of_every_kind_in_headers(server):
    sent = [
        ("x-integer", "7"),
        ("X-FLOAT", "1.5"),
        ("X-Bool", "yes"),
        ("X-When", "2026-01-02T03:04:05"),
        ("X-Uuid", "0" * 31 + "1"),
        ("X-List", "1"),
        ("X-List", "2"),
        ("X-Delimited", "3,4"),
        ("X-Object", '{"a": 1}'),
        ("X-Text", "text"),
    ]
    answer = server.post("/v2/models/headers/predict", headers=sent)
    assert prediction(answer) == {
        "integer": "int 7",
        "float": "float 1.5",
        "bool": "bool True",
        "when": "datetime 2026-01-02 03:04:05",
        "uuid": "UUID 00000000-0000-0000-0000-000000000001",
        "list": "list [1, 2]",
        "delimited": "list [3, 4]",
        "object": "dict {'a': 1}",
        "text": "str text",
    }
    bad = server.post("/v2/models/headers/predict", headers={"X-Integer": "x"})
    assert bad.json() == {"X-Integer": ["Not a valid integer."]}


def test_bad_values_say_what_is_wrong_with_each(server):
    bad = {"integer": 11, "choice": "c", "uuid": "x", "unknown": "ignored"}
    answer = server.post(FIELDS, data=bad)
    assert answer.status_code == 422
    assert answer.json() == {
        "integer": ["Must be greater than or equal to 0 and less than or equal to 10."],
        "choice": ["Must be one of: a, b."],
        "uuid": ["Not a valid UUID."],
    }


def not_json(where):
    return {"json": ["Invalid JSON body.", where]}


@pytest.mark.parametrize(
    ("body", "kind", "status", "answer"),
    [
        (
            b"{",
            "application/json",
            400,
            not_json(
                "line 1, column 2: Expecting property name enclosed in double quotes."
            ),
        ),
        (
            b'{\r\n"n": 1,\n"m": True}',
            "application/vnd.api+json",
            400,
            not_json("line 3, column 6: Expecting value."),
        ),
        (
            b"[" * 100_000,
            "application/json",
            400,
            not_json("It is nested too deeply."),
        ),
        (
            b"\xff\xfe",
            "application/json",
            400,
            not_json("line 1, column 1: Expecting value."),
        ),
        (
            b'"\xff"',
            "application/json",
            400,
            not_json(
                "It cannot be decoded: 'utf-8' codec can't decode byte 0xff in "
                "position 1: invalid start byte."
            ),
        ),
        (
            b'{"n": ' + b"1" * 5000 + b"}",
            "application/json",
            400,
            not_json("A number has too many digits."),
        ),
        (b'{"n": NaN}', "application/json", 422, {"n": ["Not a valid integer."]}),
        (b"[1]", "application/json", 422, {"json": ["Must be a JSON object."]}),
        (b"", "application/json", 422, {"n": ["Missing data for required field."]}),
        (b"n=%ff", "application/x-www-form-urlencoded; charset=nope", 400, None),
        (b"x", "multipart/form-data", 400, None),
        (b"x", "multipart/form-data; boundary=b", 400, None),
        (b"n=1", "text/plain", 415, None),
        (b"n=1", "nonsense", 415, None),
    ],
)
def test_a_body_that_cannot_be_read(server, body, kind, status, answer):
    headers = {"Content-Type": kind}
    got = server.post("/v2/models/echo/predict", content=body, headers=headers)
    assert got.status_code == status, got.text
    if answer is None:
        assert got.json().keys() == {"message"}
    else:
        assert got.json() == answer


def test_big_integers_stay_what_they_are(server):
    big = 2**70
    answer = server.post("/v2/models/echo/predict", json={"n": big})
    assert json.loads(answer.text) == {"n": big}


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("kind", ["multipart", "form", "json"])
def test_a_body_over_the_limit(server, kind, chunked):
    big = "x" * 1_100_000
    options = {
        "multipart": {"files": {"data": ("big", big)}},
        "form": {"data": {"n": big}},
        "json": {"json": {"n": big}},
    }[kind]
    request = server.client.build_request("POST", UPLOAD, **options)
    content = request.read()
    if chunked:
        content = iter([content[:500_000], content[500_000:]])
    headers = {"Content-Type": request.headers["Content-Type"]}
    answer = server.post(UPLOAD, content=content, headers=headers)
    assert answer.status_code == 413
    assert "client-max-size" in answer.json()["message"]


def test_three_files_of_different_kinds_and_a_list(server):
    sent = [
        ("image", ("cat.png", b"1", "image/png")),
        ("table", ("a.tar.gz", b"2")),
        ("volume", ("C:\\scans\\brain scan.nii.gz", b"3", "application/gzip")),
        ("untyped", ("../../etc/passwd", b"4")),
        ("many", ("x.txt", b"5", "text/plain")),
        ("many", ("y.txt", b"", "text/plain")),
        ("unknown", ("z", b"never seen")),
    ]
    answer = prediction(server.post(FILES, files=sent))
    assert {name: one["content"] for name, one in answer.items() if name != "many"} == {
        "image": "1",
        "table": "2",
        "volume": "3",
        "untyped": "4",
    }
    assert [one["content"] for one in answer["many"]] == ["5", ""]
    assert answer["image"]["name"] == "image"
    assert answer["image"]["content_type"] == "image/png"
    assert answer["image"]["original_filename"] == "cat.png"
    assert answer["image"]["filename"].endswith(".png")
    assert answer["table"]["filename"].endswith(".tar.gz")
    assert answer["volume"]["original_filename"] == "brain scan.nii.gz"
    assert answer["volume"]["filename"].endswith(".nii.gz")
    assert answer["untyped"]["original_filename"] == "passwd"


def test_text_for_a_file_and_a_file_too_many(server):
    text = server.post(FILES, files={"image": (None, "text")})
    assert text.status_code == 422
    assert text.json() == {"image": ["Not a file."]}
    two = server.post(FILES, files=[("image", ("a", b"a")), ("image", ("b", b"b"))])
    assert two.status_code == 422
    assert two.json() == {"image": ["Takes one file, not several."]}


def test_a_form_in_which_no_file_was_chosen(server):
    nothing = {"image": ("", b"", "application/octet-stream")}
    boundary = "limit"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename=""\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n\r\n--{boundary}--\r\n"
    )
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    assert nothing
    assert prediction(server.post(FILES, content=body, headers=headers)) == {}


def test_uploads_leave_nothing_even_when_the_model_fails(server):
    for number in range(200):
        content = str(number).encode() * 1000
        fail = number % 3 == 0
        answer = server.post(
            UPLOAD, files={"data": ("a.bin", content)}, data={"fail": fail}
        )
        if fail:
            assert answer.status_code == 500
            assert answer.json() == {"message": "ValueError: told to fail"}
        else:
            assert prediction(answer) == hashlib.sha256(content).hexdigest()
    assert list(server.temporary.iterdir()) == []


def test_a_client_that_leaves_in_the_middle_of_an_upload(server):
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="data"; filename="a.bin"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"x" * 400_000)
    good = server.post(UPLOAD, files={"data": ("a", b"abc")})
    assert prediction(good) == hashlib.sha256(b"abc").hexdigest()


def test_an_author_whose_code_ends_the_process(server):
    path = "/v2/models/unkind"
    assert server.get(path).json()["description"] == "The model unkind."
    for name in ("exits", "unkind"):
        answer = server.post(f"{path}/predict", params={name: "x"})
        assert answer.status_code == 422
        assert answer.json().keys() == {name}
    assert server.get("/v2/").status_code == 200


def test_accept_under_another_name(server):
    path = "/v2/models/unkind/predict"
    answer = server.post(path, headers={"Accept": "text/*"})
    assert answer.text == "text/csv"
    assert server.post(path, params={"Accept": "zz"}).status_code == 422


def test_parts_that_are_not_files(server):
    path = "/v2/models/unkind/predict"
    part = (None, '{"x": 1}', "application/json")
    assert server.post(path, files={"nested": part}).status_code == 200
    both = [("data", ("a", b"a")), ("data", (None, "text"))]
    answer = server.post(path, files=both)
    assert answer.status_code == 422
    assert answer.json() == {"data": ["Takes one file, not several."]}


ACCEPT = "/v2/models/accept/predict"


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        (None, "image/png"),
        ("*/*", "image/png"),
        ("image/*", "image/png"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "image/png"),
        ("application/json; charset=utf-8", "application/json"),
        ("image/webp, application/json;q=0.5", "application/json"),
        ("application/json;q=0.2, application/zip;q=0.9", "application/zip"),
        ("image/png;q=0, application/*", "application/zip"),
        ("IMAGE/PNG", "image/png"),
        ("nonsense, image/png", "image/png"),
    ],
)
def test_accept_is_negotiated(server, header, chosen):
    # httpx sends */* of its own unless told otherwise
    request = server.client.build_request("POST", ACCEPT)
    del request.headers["Accept"]
    if header is not None:
        request.headers["Accept"] = header
    answer = server.client.send(request)
    assert answer.status_code == 200, answer.text
    got = prediction(answer) if chosen == "application/json" else answer.text
    assert got == chosen
    assert answer.headers["Content-Type"] == chosen


def test_accept_that_fits_nothing(server):
    for header in ("video/mp4", "image/png;q=0", "nonsense"):
        answer = server.post(ACCEPT, headers={"Accept": header})
        assert answer.status_code == 406
        for choice in ("application/zip", "image/png", "application/json"):
            assert choice in answer.json()["message"]


@pytest.mark.parametrize("place", ["params", "data", "json"])
def test_an_explicit_accept_goes_before_the_header(server, place):
    headers = {"Accept": "image/png"}
    sent = {place: {"accept": "application/zip"}}
    assert server.post(ACCEPT, headers=headers, **sent).text == "application/zip"
    for value in ("video/mp4", "*/*"):
        bad = server.post(ACCEPT, **{place: {"accept": value}})
        assert bad.status_code == 422
        assert re.match("Must be one of: ", bad.json()["accept"][0])


def test_accept_without_choices(server):
    path = "/v2/models/accept_any/predict"
    for header, chosen in (
        ("text/csv", "text/csv"),
        ("image/*, text/csv;q=0.1", "text/csv"),
        ("*/*", "application/json"),
    ):
        answer = server.post(path, headers={"Accept": header})
        is_json = chosen == "application/json"
        assert (prediction(answer) if is_json else answer.text) == chosen
    assert server.post(path, params={"accept": "a/b"}).text == "a/b"
    assert server.post(path, params={"accept": "a/b; c=d"}).text == "a/b; c=d"


@pytest.mark.parametrize("accept", ["nonsense", "a/b\x1f", "a/b\r\nX: y", "\udcff/é"])
def test_an_accept_that_is_not_a_media_type(server, accept):
    """The value would be in the head of the answer."""
    path = "/v2/models/accept_any/predict"
    encoded = quote(accept, errors="surrogatepass")
    answer = server.post(f"{path}?accept={encoded}")
    assert answer.status_code == 422
    assert answer.json() == {"accept": ["Not a media type."]}


@pytest.mark.parametrize("charset", ["punycode", "idna", "undefined", "rot13", "x\0"])
def test_a_text_in_no_charset(server, charset):
    form = f"application/x-www-form-urlencoded; charset={charset}".encode()
    if "\0" not in charset:
        answer = server.post(FIELDS, content=b"none=a", headers={"Content-Type": form})
        assert answer.status_code == 400
        assert "encoding" in answer.json()["message"]
    part = {"none": (None, b"a-b", f"text/plain; charset={charset}")}
    answer = server.post(FIELDS, files=part)
    assert answer.status_code == 400


def test_json_that_is_nested_deeply(server):
    for depth, status in ((50, 200), (700, 400), (100_000, 400)):
        body = '{"dict": {"a": ' + "[" * depth + "]" * depth + "}}"
        answer = server.post(
            FIELDS, content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == status, answer.text
