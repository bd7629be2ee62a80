"""Bodies of every size and form: they arrive unchanged, and no file stays."""

import gzip
import hashlib
import re
import select
import socket
import time
import zlib
from pathlib import Path

import psutil
import pytest

from tests.conftest import Serve
from tests.server import MODELS, prediction, wait_until

MODEL = f"m={MODELS / 'bodies.py'}"
PATH = "/v2/models/m/predict"
MIB = 1024 * 1024
BOUNDARY = "limit"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def server(serve_module: Serve):
    return serve_module("--model", MODEL, "--raw-predictions", errors_expected=True)


def part(content, **parameters):
    named = "".join(f'; {name}="{value}"' for name, value in parameters.items())
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data{named}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def body(*parts):
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def peak(pid):
    """Return the peak memory of a process in bytes, and reset it."""
    status = Path(f"/proc/{pid}/status").read_text()
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


# -- files in


@pytest.mark.parametrize(
    ("filename", "original"),
    [
        ("a.txt", "a.txt"),
        ("Zähler 測定.png", "Zähler 測定.png"),
        ('with \\"quotes\\".png', 'with "quotes".png'),
        ("x" * 300 + ".nii.gz", "x" * 300 + ".nii.gz"),
        ("../../etc/passwd", "passwd"),
        ("..", ".."),
        (r"C:\Users\ada\cell.tif", "cell.tif"),
        ("/", None),
        ("", None),
        (None, None),
    ],
)
def test_filenames(server, filename, original):
    names = {} if filename is None else {"filename": filename}
    content = body(part(b"content", name="data", **names))
    if filename is None:  # then it is a file by its type only
        content = content.replace(
            b"\r\n\r\n", b"\r\nContent-Type: image/png\r\n\r\n", 1
        )
    answer = server.post(PATH, content=content, headers=MULTIPART)
    assert answer.status_code == 200, answer.text
    got = prediction(answer)
    assert got["original_filename"] == original
    assert got["sha256"] == hashlib.sha256(b"content").hexdigest()
    place = Path(got["filename"])
    assert place.parent == server.temporary
    assert place.suffixes[-2:] == Path(original or "").suffixes[-2:]


def test_a_filename_in_another_form(server):
    content = body(part(b"content", name="data"))
    content = content.replace(b'"data"', b"data; filename*=UTF-8'de'Z%C3%A4hler.png")
    answer = server.post(PATH, content=content, headers=MULTIPART)
    assert prediction(answer)["original_filename"] == "Zähler.png"


def test_forms_that_hold_nothing(server):
    for content in (b"", body(), body(part(b"content")), body(part(b"", name="odd"))):
        answer = server.post(PATH, content=content, headers=MULTIPART)
        assert answer.status_code == 200
    assert list(server.temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (body(*[part(b"", name="a")] * 10_000), 413),
        (body(part(b"x" * 40 * MIB, name="how")), 413),
        (b"x" * MIB, 400),  # a boundary that never comes
        (part(b"content", name="data", filename="a"), 400),
        (part(b"content", name="data", filename="a")[:-20], 400),
        (f"--{BOUNDARY}\r\nX: {'y' * MIB}".encode(), 413),
        (f"--{BOUNDARY}\r\n{'X: y' * MIB}\r\n\r\n".encode(), 413),
        (f"--{BOUNDARY}\r\nno header\r\n\r\n\r\n--{BOUNDARY}--".encode(), 400),
    ],
)
def test_broken_forms(server, content, status):
    answer = server.post(PATH, content=content, headers=MULTIPART)
    assert answer.status_code == status, answer.text
    assert answer.json().keys() == {"message"}
    assert list(server.temporary.iterdir()) == []


def exchange(server, request):
    """Send bytes, and return the first bytes of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(request)
        return connection.recv(65536)


def head(length, **headers):
    lines = [f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def test_a_length_that_lies(server):
    whole = body(part(b"content", name="data", filename="a.txt"))
    kind = {"Content_Type": MULTIPART["Content-Type"]}
    before = server.workers()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(
            head(len(whole) + 100, **kind) + whole
        )  # more than the body has
        wait_until(lambda: list(server.temporary.iterdir()) != [])
    short = exchange(server, head(len(whole) - 20, **kind) + whole)
    assert short.split()[1] == b"400"
    assert exchange(server, head(-1, **kind) + whole).split()[1] == b"400"
    wait_until(lambda: list(server.temporary.iterdir()) == [])
    assert server.post(PATH).status_code == 200
    assert server.workers() == before


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=limit", "json", "form"]
)
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_compressed_bodies(server, kind, coding):
    kinds = {
        "json": ("application/json", b'{"how": "json"}'),
        "form": ("application/x-www-form-urlencoded", b"how=json"),
    }
    media_type, content = kinds.get(kind, (kind, body(part(b"json", name="how"))))
    squeezed = (gzip if coding == "gzip" else zlib).compress(content)
    headers = {"Content-Type": media_type, "Content-Encoding": coding}
    answer = server.post(PATH, content=squeezed, headers=headers)
    assert prediction(answer) == []
    if kind != "form":  # a cut form has no end that shows the cut
        answer = server.post(PATH, content=squeezed[:20], headers=headers)
        assert answer.status_code == 400
    answer = server.post(PATH, content=content, headers=headers)  # it is not compressed
    assert answer.status_code == 400


def in_pieces(*pieces):
    """Yield bytes of a request without a length, with a pause between them."""
    yield pieces[0]
    for piece in pieces[1:]:
        time.sleep(0.05)
        yield piece


def test_a_compressed_body_in_pieces(server):
    squeezed = gzip.compress(body(part(b"content", name="data", filename="a")))
    headers = {**MULTIPART, "Content-Encoding": "gzip"}
    for cut in (1, 10, len(squeezed) - 4):  # ten bytes decompress to nothing yet
        content = in_pieces(squeezed[:cut], squeezed[cut:])
        answer = server.post(PATH, content=content, headers=headers)
        assert answer.status_code == 200, answer.text
        assert prediction(answer)["sha256"] == hashlib.sha256(b"content").hexdigest()


def test_members_that_hold_nothing(serve: Serve):
    server = serve("--model", MODEL, "--client-max-size", "1000000")
    members = gzip.compress(b"") * 10_000
    for media_type in (MULTIPART["Content-Type"], "application/json"):
        headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
        content = in_pieces(*[members] * 6)
        answer = server.post(PATH, content=content, headers=headers)
        assert answer.status_code == 413
        assert "larger than 1000000 bytes" in answer.json()["message"]
    few = members[:-100] + gzip.compress(b"{}")
    answer = server.post(PATH, content=few, headers=headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("media_type", "coding", "content"),
    [
        (
            MULTIPART["Content-Type"],
            "gzip",
            gzip.compress(body(part(bytes(400 * MIB), name="unknown")), 1),
        ),
        ("application/json", "identity", b"[" + b"[]," * (2 * MIB) + b"[]]"),
        ("application/x-www-form-urlencoded", "identity", b"%41" * (2 * MIB)),
        (
            "application/x-www-form-urlencoded",
            "identity",
            (b"%41" * 20 + b"&") * 99_999,
        ),
    ],
    ids=["a bomb", "JSON", "escapes", "fields"],
)
def test_a_slow_body_does_not_delay_other_requests(server, media_type, coding, content):
    head_ = head(len(content), Content_Type=media_type, Content_Encoding=coding)
    with socket.create_connection(("127.0.0.1", server.port)) as slow:
        slow.sendall(head_ + content)
        for _ in range(5):
            assert server.get("/v2/health/live").status_code == 200
        # The other requests were faster.
        assert select.select([slow], [], [], 0)[0] == []
        assert slow.recv(12).split()[1] in (b"200", b"422")


def test_more_text_than_there_may_be(server):
    text = b'{"how": "json", "unknown": "%s"}' % (b"x" * 14 * MIB)
    headers = {"Content-Type": "application/json"}
    assert prediction(server.post(PATH, content=text, headers=headers)) == []
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    text = b"how=json&unknown=" + b"x" * 7 * MIB
    assert prediction(server.post(PATH, content=text, headers=headers)) == []
    text = text.replace(b"x", b"xx")
    answer = server.post(PATH, content=text, headers=headers)
    assert answer.status_code == 413
    assert "send a file" in answer.json()["message"]


@pytest.mark.parametrize(
    ("constant", "size", "where"),
    [
        ("True", 0, "line 1, column 9: Expecting value."),
        ("True", 100_000, "line 1, column 100009: Expecting value."),
        ("True", 2_000_000, "line 1, column 2000009: Expecting value."),
        ("[" * 90_000, 0, "It is nested too deeply."),
    ],
)
def test_a_body_that_is_not_json(server, constant, size, where):
    text = f'{{"how": {" " * size}{constant}}}'
    headers = {"Content-Type": "application/json"}
    answer = server.post(PATH, content=text, headers=headers)
    assert answer.status_code == 400
    assert answer.json() == {"json": ["Invalid JSON body.", where]}


def test_an_unsupported_charset(server):
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-7"}
    answer = server.post(PATH, content=b"how=json", headers=headers)
    assert answer.status_code == 400


def test_a_bomb(serve: Serve):
    server = serve("--model", MODEL, "--client-max-size", str(100 * MIB))
    before = peak(server.pid)
    for media_type, start in (
        (MULTIPART["Content-Type"], part(b"", name="data", filename="a")[:-2]),
        ("application/json", b'{"how": "'),
    ):
        bomb = gzip.compress(start + bytes(1000 * MIB), 1)
        headers = {"Content-Type": media_type, "Content-Encoding": "gzip"}
        answer = server.post(PATH, content=bomb, headers=headers)
        assert answer.status_code == 413, answer.text
    assert peak(server.pid) - before < 128 * MIB
    assert list(server.temporary.iterdir()) == []


def test_a_large_upload_in_constant_memory(serve: Serve):
    server = serve("--model", MODEL, "--raw-predictions")
    piece = bytes(range(256)) * 4096  # 1 MiB
    start, end = body(part(b"|", name="data", filename="a")).split(b"|")

    def content():
        yield start
        for _ in range(200):
            yield piece
        yield end

    server.post(PATH)
    before = peak(server.pid)
    answer = server.post(PATH, content=content(), headers=MULTIPART)
    assert prediction(answer)["sha256"] == hashlib.sha256(piece * 200).hexdigest()
    assert peak(server.pid) - before < 32 * MIB


def test_a_disk_that_takes_no_more(serve: Serve):
    server = serve("--model", MODEL)
    limit = psutil.RLIMIT_FSIZE
    psutil.Process(server.pid).rlimit(limit, (MIB, psutil.RLIM_INFINITY))
    for size in (3 * MIB, 10 * MIB):
        answer = server.post(PATH, files={"data": ("a", b"x" * size)})
        assert answer.status_code == 507
        assert "no space" in answer.json()["message"]
        assert list(server.temporary.iterdir()) == []
    assert server.post(PATH, files={"data": ("a", b"x" * 1000)}).status_code == 200


# -- large answers


def test_a_large_file_is_sent_in_constant_memory(server):
    server.post(PATH)
    before = peak(server.pid)
    params = {"how": "file", "size": 500 * MIB, "accept": "image/png"}
    with server.client.stream("POST", PATH, params=params) as answer:
        assert answer.headers["Content-Length"] == str(500 * MIB)
        assert sum(len(piece) for piece in answer.iter_raw()) == 500 * MIB
    assert peak(server.pid) - before < 32 * MIB
    wait_until(lambda: list(server.temporary.iterdir()) == [])


def test_range_and_head_of_a_result(server):
    params = {"how": "file", "size": 50 * MIB, "accept": "image/png"}
    answer = server.post(PATH, params=params, headers={"Prefer": "respond-async"})
    job = f"{PATH}/{answer.json()['uuid']}"
    wait_until(lambda: server.get(job).json()["status"] == "done")
    start = server.get(f"{job}/result", headers={"Range": "bytes=0-4"})
    assert start.status_code == 206
    assert start.content == b"start"
    assert start.headers["Content-Range"] == f"bytes 0-4/{50 * MIB}"
    end = server.get(f"{job}/result", headers={"Range": "bytes=-10"})
    assert end.content == bytes(10)
    beyond = server.get(f"{job}/result", headers={"Range": f"bytes={60 * MIB}-"})
    assert beyond.status_code == 416
    assert beyond.headers["Content-Range"] == f"bytes */{50 * MIB}"
    assert "no such range" in beyond.json()["message"]
    head = server.head(f"{job}/result")
    assert head.headers["Content-Length"] == str(50 * MIB)
    assert head.headers["Accept-Ranges"] == "bytes"


def test_large_bytes_do_not_double(serve: Serve):
    server = serve("--model", MODEL)
    server.post(PATH)
    before = peak(server.pid)
    params = {"size": 100 * MIB, "accept": "image/png"}
    with server.client.stream("POST", PATH, params=params) as answer:
        assert sum(len(piece) for piece in answer.iter_raw()) == 100 * MIB
    assert peak(server.pid) - before < 132 * MIB


@pytest.mark.parametrize(
    ("params", "accepted", "coding"),
    [
        ({"how": "json", "size": 10_000}, "gzip, deflate", "gzip"),
        ({"how": "json", "size": 10_000}, "*", "gzip"),
        ({"how": "json", "size": 10_000}, "gzip;q=0", None),
        ({"how": "json", "size": 10_000}, "*;q=0, gzip", "gzip"),
        ({"how": "json", "size": 10_000}, "gzip;q=0, *", None),
        ({"how": "json", "size": 10_000}, "GZIP ; Q=0.5 , identity;q=0.1", "gzip"),
        ({"how": "json", "size": 10_000}, "gzip;q=0.5, identity;q=1", None),
        ({"how": "json", "size": 10_000}, "x-gzip", "gzip"),
        ({"how": "json", "size": 100}, "gzip, identity;q=0", "gzip"),
        ({"how": "json", "size": 100}, "gzip;q=0, *;q=0", None),
        ({"how": "json", "size": 10_000}, "identity", None),
        ({"how": "json", "size": 100}, "gzip", None),
        ({"accept": "text/plain", "size": 10_000_000}, "gzip", "gzip"),
        ({"accept": "text/plain", "size": 10_000_000}, "", None),
        ({"accept": "image/png", "size": 10_000}, "gzip", None),
    ],
)
def test_text_is_compressed(server, params, accepted, coding):
    answer = server.post(PATH, params=params, headers={"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == coding
    plain = server.post(PATH, params=params, headers={"Accept-Encoding": "identity"})
    assert answer.content == plain.content  # httpx has unpacked it
    assert "Content-Encoding" not in plain.headers
    if coding:
        assert answer.headers["Vary"] == "Accept-Encoding"
    if params["size"] > 1024:
        assert plain.headers.get("Vary") == answer.headers.get("Vary")


def test_a_large_text_file_is_compressed(server):
    params = {"how": "file", "size": 5 * MIB, "accept": "text/plain"}
    content = b"start".ljust(5 * MIB, b"\0")
    asked = server.post(PATH, params=params, headers={"Prefer": "respond-async"})
    job = f"{PATH}/{asked.json()['uuid']}"
    wait_until(lambda: server.get(job).json()["status"] == "done")
    calls = (
        lambda headers: server.post(PATH, params=params, headers=headers),
        lambda headers: server.get(f"{job}/result", headers=headers),
    )
    for call in calls:
        packed = call({"Accept-Encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        plain = call({"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers
        assert plain.headers["Content-Length"] == str(5 * MIB)
        assert packed.content == plain.content == content
        assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    some = calls[1]({"Accept-Encoding": "gzip", "Range": "bytes=0-4"})
    assert some.status_code == 206
    assert some.content == b"start"
    assert some.headers["Vary"] == "Accept-Encoding"


def test_what_lies_beside_a_file_is_not_sent(server, tmp_path):
    path = tmp_path / "volume.nii"
    path.write_bytes(b"x" * 2 * MIB)
    (tmp_path / "volume.nii.gz").write_bytes(gzip.compress(b"another"))
    params = {"how": str(path), "accept": "image/png"}
    for headers in (
        {"Accept-Encoding": "gzip"},
        {"If-None-Match": "*"},
        {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"},
        {"If-Match": '"another"'},
        {"Range": "bytes=0-4"},
        {"Range": "bytes=5-4"},
    ):
        answer = server.post(PATH, params=params, headers=headers)
        assert answer.status_code == 200
        assert answer.content == path.read_bytes()
        assert "Content-Encoding" not in answer.headers
