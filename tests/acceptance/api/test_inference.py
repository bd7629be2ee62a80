"""The Open Inference Protocol over HTTP: requests, answers, errors, batches."""

import base64
import gzip
import json
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server import wait_until

HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(
        *("--model", "t=tests/models/tensors.py"),
        *("--model", "out=tests/models/oip_outputs.py"),
        errors_expected=True,
    )


def tensor(name, shape, datatype, data, **parameters):
    value = {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return {**value, "parameters": parameters} if parameters else value


def infer(server, *inputs, model="t", headers=None, **more):
    body = json.dumps({"inputs": inputs, **more})
    path = f"/v2/models/{model}/infer"
    return server.post(path, content=body.encode(), headers=headers)


def binary(server, head, *tails, model="t", length=None, headers=None):
    text = json.dumps(head).encode()
    headers = {HEADER: str(len(text) if length is None else length), **(headers or {})}
    body = text + b"".join(tails)
    return server.post(f"/v2/models/{model}/infer", content=body, headers=headers)


def outputs(answer):
    """The outputs of an answer by name, with bytes as `raw`."""
    assert answer.status_code == 200, answer.text
    length = answer.headers.get(HEADER)
    end = len(answer.content) if length is None else int(length)
    found = {}
    for one in json.loads(answer.content[:end])["outputs"]:
        size = one.get("parameters", {}).get("binary_data_size")
        if size is not None:
            one["raw"], end = answer.content[end : end + size], end + size
        found[one["name"]] = one
    assert end == len(answer.content)
    return found


def error(answer, status=400):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/json")
    value = answer.json()
    assert value.keys() == {"error"}
    return value["error"]


# -- inputs in JSON


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (tensor("integer", [1], "INT64", [7]), [7]),
        (tensor("integer", [], "UINT8", [7]), [7]),
        (tensor("integer", [1], "INT32", [7.0]), [7]),
        (tensor("integer", [1], "FP32", [7]), [7]),
        (tensor("number", [1], "FP16", [1.5]), [1.5]),
        (tensor("number", [1], "BYTES", ["2.5"], content_type="json"), [2.5]),
        (tensor("flag", [1], "BOOL", [True]), [True]),
        (tensor("flag", [1], "BOOL", [1]), [True]),
        (tensor("text", [1], "BYTES", ["grün"]), ["grün"]),
        (tensor("text", [1], "BYTES", "grün"), ["grün"]),
        (tensor("text", [1], "BYTES", ["Z3I="], content_type="base64"), ["gr"]),
        (tensor("text", [1], "BYTES", ["a"], content_type="np"), ["a"]),
        (tensor("vector", [3], "FP32", [1, 2.5, 3]), [1.0, 2.5, 3.0]),
        (
            tensor("vector", [2], "BYTES", ["[1, 2]", "[3, 4]"], content_type="json"),
            [1.0, 2.0, 3.0, 4.0],
        ),
        (tensor("words", [2], "BYTES", [["a"], ["b"]]), ["a", "b"]),
        (tensor("words", [2, 1], "BYTES", [["a"], ["b"]]), ["a", "b"]),
        (tensor("matrix", [2, 2], "FP64", [[1, 2], [3, 4]]), [1.0, 2.0, 3.0, 4.0]),
        (tensor("matrix", [2, 2], "FP64", [1, 2, 3, 4]), [1.0, 2.0, 3.0, 4.0]),
        (tensor("matrix", [2, 2], "FP64", [[1], [2, 3, 4]]), [1.0, 2.0, 3.0, 4.0]),
        (tensor("settings", [1], "BYTES", ['{"a": 2}']), ['{"a":2}']),
        (tensor("when", [1], "BYTES", ["2026-01-02"]), ["2026-01-02"]),
        (tensor("file", [1], "BYTES", ["AP8="]), ["AP8="]),
        (tensor("file", [1], "BYTES", ["gr"], content_type="str"), ["Z3I="]),
        (tensor("files", [2], "BYTES", ["AP8=", ""]), [2, 0]),
    ],
)
def test_an_input_in_json_is_an_argument(server, given, expected):
    answer = outputs(infer(server, given))

    assert answer[given["name"]]["data"] == expected


def test_a_file_has_its_name_and_its_media_type(server):
    given = tensor(
        "file", [1], "BYTES", ["AP8="], filename="a/b.nii.gz", media_type="image/png"
    )

    found = outputs(infer(server, given))

    assert found["file_name"]["data"] == ["b.nii.gz"]
    assert found["file_type"]["data"] == ["image/png"]


def test_parameters_are_arguments(server):
    parameters = {"integer": 5, "text": "a", "unknown": 1, "priority": 3}

    found = outputs(infer(server, parameters=parameters))

    assert found["integer"]["data"] == [5]
    assert found["text"]["data"] == ["a"]


def test_an_input_goes_before_a_parameter(server):
    given = tensor("integer", [1], "INT64", [7])

    assert outputs(infer(server, given, parameters={"integer": 5}))["integer"][
        "data"
    ] == [7]


def test_unknown_keys_are_ignored_and_the_id_comes_back(server):
    answer = infer(server, id="a/1", model_name="x", unknown=[1])

    assert list(answer.json()) == ["model_name", "model_version", "id", "outputs"]
    assert answer.json()["id"] == "a/1"
    without = infer(server, headers={"X-Request-ID": "mine"})
    assert without.json()["id"] == without.headers["X-Request-ID"] == "mine"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (tensor("zzz", [1], "INT64", [7]), "no input 'zzz'; these are its inputs: int"),
        (tensor("integer", [2, 3], "INT64", [1] * 6), "[2, 3]"),
        (tensor("integer", [1], "INT64", [7, 8]), "has 2 elements; its shape [1]"),
        (tensor("integer", [1], "INT64", []), "has 0 elements"),
        (tensor("integer", [1], "INT64", ["7"]), "not an integer"),
        (tensor("integer", [1], "INT64", [7.5]), "not an integer"),
        (tensor("integer", [1], "INT64", [None]), "not an integer"),
        (tensor("integer", [1], "INT64", [True]), "not an integer"),
        (tensor("integer", [1], "UINT8", [256]), "UINT8 cannot hold"),
        (tensor("integer", [1], "INT64", [2**63]), "INT64 cannot hold"),
        (tensor("integer", [1], "INT64", [101]), "integer: Must be less than"),
        (tensor("integer", [1], "BYTES", ["7"]), "is BYTES, the argument takes INT64"),
        (tensor("number", [1], "FP32", [None]), "number: Special numeric values"),
        (tensor("number", [1], "BF16", [1.5]), "BF16"),
        (tensor("number", [1], "FP8", [1.5]), "'FP8'; it must be one of BOOL"),
        (tensor("number", [1], 7, [1.5]), "datatype"),
        (tensor("text", [1], "FP32", [1]), "is FP32, the argument takes BYTES"),
        (tensor("text", [1], "BYTES", [1]), "not a string"),
        (tensor("text", [1], "BYTES", ["!"], content_type="base64"), "not base64"),
        (tensor("vector", [1, 1, 1], "FP32", [1]), "takes 1 dimension, and one more"),
        (tensor("vector", [], "FP32", [1]), "takes 1 dimension"),
        (tensor("vector", [-1], "FP32", [1]), "shape"),
        (tensor("vector", [True], "FP32", [1]), "shape"),
        (tensor("vector", "1", "FP32", [1]), "shape"),
        (tensor("vector", [2**31, 2], "FP32", []), "limit"),
        (tensor("vector", [2**30, 0], "FP32", []), "limit"),
        (tensor("vector", [1] * 33, "FP32", [1]), "32 dimensions"),
        (tensor("settings", [1], "BYTES", ["{"]), "not JSON"),
        (tensor("settings", [1], "BYTES", ["[]"]), "settings: Not a valid mapping"),
        (tensor("file", [1], "BYTES", ["AP8"]), "not base64"),
        (tensor("file", [1], "BYTES", ["{}"], content_type="json"), "takes files"),
        (tensor("file", [1], "FP32", [1]), "is FP32, the argument takes BYTES"),
        ({"name": "text", "shape": [1], "datatype": "BYTES"}, "'data'"),
        ({"name": 1}, "'name'"),
        ("integer", "list of objects"),
    ],
)
def test_an_input_that_does_not_fit_is_a_400(server, given, words):
    assert words in error(infer(server, given))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "line 1, column 2"),
        (b"[]", "object"),
        (b"{}", "'inputs' is missing"),
        (b'{"inputs": 7}', "list of objects"),
        (b'{"inputs": [], "id": 7}', "'id'"),
        (b'{"inputs": [], "parameters": []}', "parameters"),
        (b'{"inputs": [], "outputs": [{}]}', "'name'"),
        (b'{"inputs": [], "parameters": {"timeout": "1"}}', "microseconds"),
        (b'{"inputs": [], "parameters": {"sequence_id": 4}}', "equences"),
        (b'{"inputs": [], "parameters": {"file": "a"}}', "'file' is a file"),
        (b'{"inputs": [], "x": "' + b"\xff" + b'"}', "UTF-8"),
        (b'{"inputs": [], "x": ' + b"[" * 100_000 + b"}", "JSON"),
        (b'{"inputs": []}\0\0\0', "3 bytes after its JSON; Inference-Header"),
        (b'{"inputs": [], "x": ' + b"1" * 5000 + b"}", "digits"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_400(server, body, words):
    answer = server.post("/v2/models/t/infer", content=body)

    assert words in error(answer)


def test_names_that_come_twice_are_refused(server):
    one = tensor("integer", [1], "INT64", [7])

    assert "'integer' is there twice" in error(infer(server, one, one))
    wanted = [{"name": "text"}, {"name": "text"}]
    assert "'text' is there twice" in error(infer(server, outputs=wanted))


def test_nan_and_lone_surrogates_are_read(server):
    body = b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", '
    body += b'"data": ["\\ud800"]}], "x": NaN}'

    found = outputs(server.post("/v2/models/t/infer", content=body))

    assert found["text"]["data"] == ["?"]


def test_integers_of_more_than_64_bits_are_not_rounded(server):
    assert "less than" in error(infer(server, parameters={"integer": 2**64 + 1}))


# -- inputs as bytes


@pytest.mark.parametrize(
    ("name", "shape", "datatype", "data", "expected"),
    [
        ("integer", [1], "INT64", struct.pack("<q", 7), [7]),
        ("integer", [1], "INT8", struct.pack("<b", -7), [-7]),
        ("integer", [1], "UINT16", struct.pack("<H", 7), [7]),
        ("number", [1], "FP32", struct.pack("<f", 0.5), [0.5]),
        ("number", [1], "FP16", struct.pack("<e", 0.5), [0.5]),
        ("number", [1], "BF16", b"\xc0\x3f", [1.5]),
        ("number", [1], "UINT64", struct.pack("<Q", 2**63), [2.0**63]),
        ("flag", [1], "BOOL", b"\1", [True]),
        ("vector", [2], "FP64", struct.pack("<2d", 0.5, 1), [0.5, 1.0]),
        ("words", [2], "BYTES", b"\1\0\0\0a\0\0\0\0", ["a", ""]),
        ("settings", [1], "BYTES", b"\2\0\0\0{}", ["{}"]),
        ("file", [1], "BYTES", b"\3\0\0\0\0\1\xff", ["AAH/"]),
        ("files", [2], "BYTES", b"\3\0\0\0\0\1\xff\0\0\0\0", [3, 0]),
    ],
)
def test_an_input_of_bytes_is_an_argument(
    server, name, shape, datatype, data, expected
):
    one = {"name": name, "shape": shape, "datatype": datatype}
    one["parameters"] = {"binary_data_size": len(data)}

    found = outputs(binary(server, {"inputs": [one]}, data))

    assert found[name]["data"] == expected


def test_bytes_follow_in_the_order_of_the_inputs(server):
    inputs = [
        {"name": "file", "shape": [1], "datatype": "BYTES"},
        {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["middle"]},
        {"name": "vector", "shape": [2], "datatype": "FP32"},
    ]
    tails = [b"\2\0\0\0\xff\xfe", struct.pack("<2f", 1, 2)]
    for one, tail in zip(inputs[::2], tails, strict=True):
        one["parameters"] = {"binary_data_size": len(tail)}
    wanted = [
        {"name": "vector", "parameters": {"binary_data": True}},
        {"name": "text"},
        {"name": "file", "parameters": {"binary_data": True}},
    ]

    answer = binary(server, {"inputs": inputs, "outputs": wanted}, *tails)

    assert answer.headers["content-type"] == "application/octet-stream"
    found = outputs(answer)
    assert list(found) == ["vector", "text", "file"]
    assert found["vector"]["raw"] == struct.pack("<2d", 1, 2)
    assert found["text"]["data"] == ["middle"]
    assert found["file"]["raw"] == b"\2\0\0\0\xff\xfe"
    assert "content_type" not in found["file"]["parameters"]


def _one(size, datatype="FP32", shape=(2,), **more):
    parameters = {"binary_data_size": size}
    shape = list(shape)
    one = {"name": "vector", "shape": shape, "datatype": datatype, **more}
    return {"inputs": [{**one, "parameters": parameters}]}


@pytest.mark.parametrize(
    ("head", "tail", "words"),
    [
        (_one(8), b"\0" * 7, "ends within input 'vector', after 7 of 8"),
        (_one(8), b"\0" * 9, "more bytes"),
        (_one(7), b"\0" * 7, "its shape and datatype make 8"),
        (_one(-1), b"", "number of bytes"),
        (_one(True), b"", "number of bytes"),
        (_one("8"), b"", "number of bytes"),
        (_one(8, data=[1, 2]), b"\0" * 8, "either 'data' or"),
    ],
)
def test_bytes_that_do_not_fit_are_a_400(server, head, tail, words):
    assert words in error(binary(server, head, tail))


@pytest.mark.parametrize(
    ("name", "datatype", "data", "words"),
    [
        ("words", "BYTES", b"\1\0\0", "within the length"),
        ("words", "BYTES", b"\2\0\0\0a", "within an element"),
        ("words", "BYTES", b"\1\0\0\0a\1\0\0\0a", "has 2 elements"),
        ("words", "BYTES", b"\1\0\0\0\xff", "not UTF-8"),
        ("file", "BYTES", b"\1\0\0", "within the length"),
        ("file", "BYTES", b"\2\0\0\0a", "within an element"),
        ("file", "BYTES", b"\1\0\0\0a\1\0\0\0a", "has 2 elements"),
        ("file", "BYTES", b"", "has 0 elements"),
        ("flag", "BOOL", b"\2", "other than 0 and 1"),
    ],
)
def test_elements_of_bytes_that_are_broken_are_a_400(
    server, name, datatype, data, words
):
    one = {"name": name, "shape": [1], "datatype": datatype}
    one["parameters"] = {"binary_data_size": len(data)}

    assert words in error(binary(server, {"inputs": [one]}, data))


@pytest.mark.parametrize("length", ["-1", "a", "", "1.5", "9" * 30, "99999"])
def test_a_wrong_length_of_the_json_is_a_400(server, length):
    assert error(binary(server, _one(8), b"\0" * 8, length=length))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_packed_body_is_read(server, coding):
    pack = {"gzip": gzip.compress, "deflate": zlib.compress}[coding]
    head = json.dumps(_one(8)).encode()
    body = pack(head + struct.pack("<2f", 1, 2))
    headers = {HEADER: str(len(head)), "Content-Encoding": coding}

    answer = server.post("/v2/models/t/infer", content=body, headers=headers)

    assert outputs(answer)["vector"]["data"] == [1.0, 2.0]


def test_a_large_json_is_read(server):
    numbers = [0.5] * 300_000
    given = tensor("vector", [len(numbers)], "FP64", numbers)

    found = outputs(infer(server, given, outputs=[{"name": "vector"}]))

    assert found["vector"]["data"] == numbers


# -- a body without JSON


def test_a_raw_body_is_the_only_required_argument(serve, tmp_path):
    models = {
        "file": 'fields.Field(required=True, metadata={"type": "file"})',
        "text": "fields.Str(required=True)",
        "vector": "fields.List(fields.Float(), required=True)",
        "number": "fields.Float(required=True)",
    }
    options = []
    for name, field in models.items():
        (tmp_path / f"raw_{name}.py").write_text(
            "from webargs import fields\n"
            f"def get_predict_args():\n    return {{'x': {field}, 'n': fields.Int()}}\n"
            "def predict(x, **_):\n"
            "    return open(x.filename, 'rb').read() if hasattr(x, 'filename') else x"
        )
        options += ["--model", f"{name}={tmp_path}/raw_{name}.py"]
    server = serve(*options)

    def raw(model, body):
        path = f"/v2/models/{model}/infer"
        return outputs(server.post(path, content=body, headers={HEADER: "0"}))

    data = bytes(range(256)) * 1024
    found = raw("file", data)["predictions"]
    assert found["raw"] == struct.pack("<I", len(data)) + data
    assert raw("text", "grün".encode())["predictions"]["raw"][4:] == "grün".encode()
    numbers = struct.pack("<3d", 1, 2, 3)
    assert raw("vector", numbers)["predictions"]["raw"] == numbers
    assert raw("number", numbers)["predictions"]["shape"] == [3, 1]


def test_a_raw_body_needs_a_single_required_argument(server):
    answer = server.post("/v2/models/t/infer", content=b"abc", headers={HEADER: "0"})

    assert "requires 0 of these: integer" in error(answer)


# -- outputs


@pytest.mark.parametrize(
    ("kind", "shape", "datatype", "data"),
    [
        ("bool", [1], "BOOL", [True]),
        ("int", [1], "INT64", [7]),
        ("huge", [1], "BYTES", [str(2**70)]),
        ("float", [1], "FP64", [0.5]),
        ("nan", [1], "FP64", [None]),
        ("text", [1], "BYTES", ["grün"]),
        ("surrogate", [1], "BYTES", ["?"]),
        ("bytes", [1], "BYTES", ["AP8="]),
        ("bytesio", [1], "BYTES", ["YWJj"]),
        ("file", [1], "BYTES", ["YSxiCg=="]),
        ("returned", [1], "BYTES", ["AP8="]),
        ("list", [3], "INT64", [1, 2, 3]),
        ("mixed", [2], "FP64", [1.0, 2.5]),
        ("texts", [2], "BYTES", ["a", "b"]),
        ("nested", [3, 2], "FP64", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("ragged", [1], "BYTES", ["[[1],[2,3]]"]),
        ("odd", [1], "BYTES", ['[1,"a",null]']),
        ("objects", [1], "BYTES", ['[{"a":1},{"a":2}]']),
        ("empty", [0], "FP64", []),
        ("set", [1], "BYTES", ["[1]"]),
        ("date", [1], "BYTES", ['"2026-01-02"']),
        ("keys", [1], "BYTES", ['{"1":"a"}']),
        ("array", [2, 3], "FP32", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        ("scalar", [1], "FP32", [0.5]),
        ("int8", [2], "INT8", [-1, 2]),
        ("uint64", [1], "UINT64", [2**64 - 1]),
        ("half", [2], "FP16", [1.5, None]),
        ("flags", [2], "BOOL", [True, False]),
        ("strings", [2], "BYTES", ["a", "bc"]),
        ("swapped", [2], "INT32", [1, 2]),
        ("strided", [3], "INT64", [0, 2, 4]),
        ("complex", [1], "BYTES", ['["1970-01-01T00:00:00"]']),
        ("scalars", [2], "FP32", [0.5, 1.5]),
        ("arrays", [2, 2], "INT16", [0, 0, 1, 1]),
        ("tenths", [4], "FP32", [0.1, -0.0, 1e-45, 3.4028235e38]),
        ("hollow", [0, 3], "FP32", []),
        ("unequal", [1], "BYTES", ["[[0.0,0.0],[0.0,0.0,0.0]]"]),
    ],
)
def test_what_a_model_returns_is_an_output(server, kind, shape, datatype, data):
    found = outputs(infer(server, tensor("kind", [1], "BYTES", [kind]), model="out"))

    output = found["predictions"]
    assert (output["shape"], output["datatype"]) == (shape, datatype)
    assert output["data"] == data


@pytest.mark.parametrize(
    ("kind", "code"), [("half", "e"), ("single", "f"), ("double", "d")]
)
def test_a_number_in_json_is_the_nearest_of_its_datatype(server, kind, code):
    given = tensor("kind", [1], "BYTES", [f"random {kind}"])
    as_bytes = infer(
        server, given, model="out", parameters={"binary_data_output": True}
    )
    size = int(as_bytes.headers["Inference-Header-Content-Length"])

    data = outputs(infer(server, given, model="out"))["predictions"]["data"]

    assert struct.pack(f"<{len(data)}{code}", *data) == as_bytes.content[size:]


def test_none_gives_no_output(server):
    answer = infer(server, tensor("kind", [1], "BYTES", ["none"]), model="out")

    assert outputs(answer) == {}


def test_each_key_of_a_dict_is_an_output(server):
    def of(kind, *names):
        given = tensor("kind", [1], "BYTES", [kind])
        wanted = [{"name": name} for name in names]
        return infer(server, given, model="out", outputs=wanted)

    assert list(outputs(of("dict"))) == ["a", "b"]
    assert outputs(of("dict", "b"))["b"]["data"] == [0.5, 1.5]
    assert list(outputs(of("dict", "b", "none", "a"))) == ["b", "a"]
    assert list(outputs(of("dataclass"))) == ["label", "score"]
    assert "no output 'c'; these are its outputs: a, b" in error(of("dict", "c"))


def test_a_file_says_its_name_and_its_media_type(server):
    found = outputs(
        infer(server, tensor("kind", [1], "BYTES", ["returned"]), model="out")
    )

    assert found["predictions"]["parameters"] == {
        "content_type": "base64",
        "media_type": "image/png",
        "filename": "x.png",
    }
    found = outputs(
        infer(server, tensor("kind", [1], "BYTES", ["picture"]), model="out")
    )
    assert found["predictions"]["parameters"]["media_type"] == "image/png"
    assert base64.b64decode(found["predictions"]["data"][0])[:4] == b"\x89PNG"


def test_a_large_output_is_sent_as_it_is(server):
    answer = infer(
        server,
        tensor("kind", [1], "BYTES", ["large"]),
        model="out",
        parameters={"binary_data_output": True},
    )

    output = outputs(answer)["predictions"]
    assert (output["shape"], output["datatype"]) == ([1024, 1024], "FP32")
    assert output["raw"] == struct.pack("<f", 1) * 1024**2
    answer = infer(server, tensor("kind", [1], "BYTES", ["large"]), model="out")
    assert outputs(answer)["predictions"]["data"] == [1.0] * 1024**2


def test_a_model_that_fails_is_a_500_without_its_traceback(server):
    answer = infer(server, tensor("kind", [1], "BYTES", ["raises"]), model="out")

    assert error(answer, 500) == "ZeroDivisionError: division by zero"
    server.wait_for_output("Traceback")


def test_a_stream_is_a_501(server):
    answer = infer(server, tensor("kind", [1], "BYTES", ["generator"]), model="out")

    assert "predict route" in error(answer, 501)


# -- batches


@pytest.fixture(scope="module")
def batches(serve_module, tmp_path_factory):
    file = tmp_path_factory.mktemp("m") / "together.py"
    file.write_text(
        "from webargs import fields\n"
        "max_batch_size = 64\n"
        "def get_predict_args():\n"
        "    return {'n': fields.Int(required=True),\n"
        "        'v': fields.List(fields.Float()), 'k': fields.Int(load_default=0)}\n"
        "def predict_batch(calls):\n"
        "    return [answer(call, len(calls)) for call in calls]\n"
        "def answer(call, size):\n"
        "    if call['n'] == 13:\n"
        "        return ValueError('bad')\n"
        "    total = sum(call.get('v', []))\n"
        "    return {'n': call['n'] + call['k'], 'size': size, 'sum': total}\n"
    )
    return serve_module("--model", f"b={file}", errors_expected=True)


def rows(count, start=100):
    return tensor("n", [count], "INT64", list(range(start, start + count)))


@pytest.mark.parametrize("count", [1, 2, 64, 1000])
def test_the_rows_of_a_batch_reach_the_model_together(batches, count):
    given = tensor("n", [count, 1], "INT64", list(range(100, 100 + count)))

    found = outputs(infer(batches, given, model="b"))

    assert found["n"]["shape"] == [count, 1]
    assert found["n"]["data"] == list(range(100, 100 + count))
    assert max(found["size"]["data"]) == min(count, 64)
    assert min(found["size"]["data"]) == (count % 64 or 64 if count > 64 else count)


def test_the_answer_of_a_batch_is_that_of_its_rows(batches):
    vectors = tensor("v", [3, 2], "FP32", [[1, 2], [3, 4], [5, 6]])

    found = outputs(infer(batches, rows(3), vectors, model="b", parameters={"k": 1}))

    singles = [
        outputs(
            infer(
                batches,
                rows(1, 100 + i),
                tensor("v", [2], "FP32", [2 * i + 1, 2 * i + 2]),
                model="b",
                parameters={"k": 1},
            )
        )
        for i in range(3)
    ]
    for name in ("n", "sum"):
        assert found[name]["data"] == [one[name]["data"][0] for one in singles]


def test_inputs_without_the_dimension_are_the_same_for_each_row(batches):
    found = outputs(
        infer(batches, rows(3), tensor("v", [2], "FP32", [1, 2]), model="b")
    )

    assert found["sum"]["data"] == [3.0, 3.0, 3.0]


def test_inputs_that_disagree_are_a_400(batches):
    given = tensor("k", [2], "INT64", [1, 2])

    assert "n has 3, k has 2" in error(infer(batches, rows(3), given, model="b"))


def test_a_batch_has_at_most_1000_rows_and_may_have_none(batches):
    assert "1000 is the limit" in error(infer(batches, rows(1001), model="b"))
    found = outputs(infer(batches, rows(0), model="b", outputs=[{"name": "n"}]))
    assert found["n"]["shape"][0] == 0
    assert found["n"]["data"] == []


def test_an_error_names_its_row(batches):
    bad = tensor("n", [4], "INT64", [11, 12, 13, 14])

    assert error(infer(batches, bad, model="b"), 500) == "row 2: ValueError: bad"
    given = tensor("n", [2], "BYTES", ["1", '"a"'], content_type="json")
    assert error(infer(batches, given, model="b")).startswith("row 1: n: Not a valid")


def test_metadata_ask_for_batches(batches):
    value = batches.get("/v2/models/b").json()

    assert [one["shape"] for one in value["inputs"]] == [[-1, 1], [-1, -1], [-1, 1]]


def test_metrics_show_batches_and_the_route(batches):
    infer(batches, rows(8), model="b")

    text = batches.get("/metrics").text

    assert 'route="/v2/models/{model}/infer"' in text


WAITING = """
import pathlib
import time

from webargs import fields


def get_predict_args():
    return {"n": fields.Int(required=True)}


def predict(n):
    pathlib.Path("begun").touch()
    while n < 100 and not pathlib.Path("go").exists():
        time.sleep(0.01)
    return {"n": n}
"""


def test_the_rows_of_a_batch_count_in_the_limit_of_the_queue(serve, tmp_path):
    (tmp_path / "waiting.py").write_text(WAITING)
    server = serve("--model", "b=waiting.py", "--max-queued", "80", cwd=tmp_path)

    waiting = 'deepaas_calls_waiting{method="predict",model="b"} 80'
    with ThreadPoolExecutor(8) as pool:
        running = pool.submit(infer, server, rows(1, 0), model="b")
        wait_until((tmp_path / "begun").exists)
        batches = [pool.submit(infer, server, rows(40), model="b") for _ in range(2)]
        wait_until(lambda: waiting in server.get("/metrics").text)
        refused = infer(server, rows(2), model="b")
        (tmp_path / "go").touch()

        assert error(refused, 503)
        assert refused.headers["Retry-After"]
        assert outputs(running.result())["n"]["data"] == [0]
        for batch in batches:
            found = outputs(batch.result())["n"]["data"]
            assert found == list(range(100, 140))


def test_many_clients_with_batches_get_their_own_rows(batches):
    def call(number):
        found = outputs(infer(batches, rows(16, 1000 * number), model="b"))
        return found["n"]["data"] == list(range(1000 * number, 1000 * number + 16))

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(call, range(1, 129)))


# -- the time that a caller gives


def test_a_timeout_is_a_504_and_does_not_end_the_worker(serve, tmp_path):
    file = tmp_path / "slow.py"
    file.write_text(
        "import time\n"
        "from pathlib import Path\n"
        "from webargs import fields\n"
        "def get_predict_args():\n"
        "    file = fields.Field(metadata={'type': 'file'})\n"
        "    return {'n': fields.Float(), 'f': file}\n"
        "def predict(n=0, f=None):\n"
        "    time.sleep(n)\n"
        "    return len(Path(f.filename).read_bytes()) if f else n\n"
    )
    server = serve("--model", f"slow={file}")
    workers = server.workers()
    given = tensor("n", [1], "FP64", [1.0]), tensor("f", [1], "BYTES", ["AP8="])

    answer = infer(server, *given, model="slow", parameters={"timeout": 100_000})

    assert "0.1 s" in error(answer, 504)
    quick = {"timeout": 50_000_000}
    again = infer(server, model="slow", parameters={**quick, "n": 0})
    assert outputs(again)["predictions"]["data"] == [0.0]
    assert server.workers() == workers
    wait_until(lambda: not list(Path(server.temporary).glob("deepaas-*")))


# -- access, options, documents


def test_the_routes_ask_for_a_token(serve, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text("secret\n")
    server = serve("--model", "t=tests/models/tensors.py", "--auth-token-file", tokens)

    assert error(infer(server), 401)
    assert error(server.get("/v2/models/t/versions/3"), 401)
    assert server.get("/v2/models/t").json().keys() == {"message", "error"}
    assert server.get("/v2/models/t/versions/3/ready").status_code == 200
    assert server.post("/v2/repository/index").status_code == 401
    bearer = {"Authorization": "Bearer secret"}
    assert infer(server, headers=bearer).status_code == 200


def test_the_endpoint_can_be_turned_off(serve):
    server = serve("--model", "t=tests/models/tensors.py", "--noinference-endpoint")

    assert "--noinference-endpoint" in error(infer(server), 404)
    assert error(server.get("/v2/models/t/versions/3"), 404)
    assert "inputs" not in server.get("/v2/models/t").json()
    assert "extensions" not in server.get("/v2").json()
    paths = server.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if "infer" in path]


def test_without_predictions_inference_is_absent(serve):
    server = serve("--model", "t=tests/models/tensors.py", "--nopredict-endpoint")

    assert "--nopredict-endpoint" in error(infer(server), 404)
    assert server.get("/v2/models/t/versions/3").status_code == 200


def test_a_base_path_and_slashes_are_as_everywhere(serve):
    server = serve("--model", "t=tests/models/tensors.py", "--base-path", "/x")

    for path in (
        "/x/v2/models/t/infer",
        "/x/v2/models/t/infer/",
        "/x//v2/models/t/infer",
    ):
        assert server.post(path, content=b'{"inputs": []}').status_code == 200
    assert server.get("/x//v2/nothing").json().keys() == {"message", "error"}


def test_other_methods_are_a_405_with_both_keys(server):
    answer = server.get("/v2/models/t/infer")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert answer.json().keys() == {"message", "error"}


def test_an_unknown_model_or_version_is_a_404(server):
    assert "no model 'nope'" in error(infer(server, model="nope"), 404)
    assert "it has '3'" in error(infer(server, model="t/versions/4"), 404)
    assert infer(server, model="t/versions/3").status_code == 200
    assert "it has none" in error(server.get("/v2/models/out/versions/1"), 404)
    assert (
        "model_version"
        not in infer(server, tensor("kind", [1], "BYTES", ["int"]), model="out").json()
    )


def test_a_large_body_is_a_413(serve):
    server = serve("--model", "t=tests/models/tensors.py", "--client-max-size", "1000")

    answer = infer(server, tensor("text", [1], "BYTES", ["a" * 2000]))

    assert "client-max-size" in error(answer, 413)


def test_tensors_in_memory_have_a_limit(server):
    answer = binary(server, _one(64 * 2**20 + 4, shape=(2**24 + 1,)))

    assert "limit" in error(answer, 413)


def test_a_client_that_leaves_within_its_body_leaves_nothing(server):
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": "file",
                    "shape": [1],
                    "datatype": "BYTES",
                    "parameters": {"binary_data_size": 1000},
                }
            ]
        }
    ).encode()
    lines = [
        "POST /v2/models/t/infer HTTP/1.1",
        "Host: x",
        f"{HEADER}: {len(head)}",
        f"Content-Length: {len(head) + 1000}",
    ]
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + head)
        connection.sendall(b"\xe4\3\0\0" + b"a" * 100)
        wait_until(lambda: list(server.temporary.glob("deepaas-*")))
    wait_until(lambda: not list(server.temporary.glob("deepaas-*")))


def test_the_repository_lists_the_models(server):
    answer = server.post("/v2/repository/index", content=b"")

    assert answer.json() == [
        {"name": "out", "state": "READY", "reason": ""},
        {"name": "t", "version": "3", "state": "READY", "reason": ""},
    ]


def test_the_server_has_no_numpy(serve, tmp_path):
    file = tmp_path / "arrays.py"
    file.write_text("import numpy\n\n\ndef predict():\n    return numpy.ones(3)\n")
    server = serve("--model", f"m={file}")

    found = outputs(infer(server, model="m"))

    assert found["predictions"]["data"] == [1.0, 1.0, 1.0]
    maps = [Path(f"/proc/{pid}/maps").read_text() for pid in server.workers()]
    assert any("numpy" in one for one in maps)
    assert "numpy" not in Path(f"/proc/{server.pid}/maps").read_text()


def test_keys_of_the_author_stay(serve, tmp_path):
    file = tmp_path / "keys.py"
    file.write_text(
        "def get_metadata():\n"
        "    return {'inputs': 'mine', 'platform': 'mine', 'version': '1.0/a'}\n"
        "def predict():\n    return 1\n"
    )
    server = serve("--model", f"m={file}")

    value = server.get("/v2/models/m").json()

    assert (value["inputs"], value["platform"]) == ("mine", "mine")
    assert value["versions"] == ["1.0/a"]
    assert value["outputs"] == []


def test_a_picture_comes_the_same_four_ways(serve, tmp_path):
    """A file in JSON, as bytes, as the body, and in a form of predict."""
    import io

    from PIL import Image

    file = tmp_path / "picture.py"
    file.write_text(
        "from pathlib import Path\n"
        "from webargs import fields, validate\n"
        "def get_predict_args():\n"
        "    return {'data': fields.Field(required=True, metadata={'type': 'file',\n"
        "            'location': 'form'}),\n"
        "        'accept': fields.Str(load_default='application/json',\n"
        "            validate=validate.OneOf(['application/json', 'image/png']))}\n"
        "def predict(data, accept):\n"
        "    content = Path(data.filename).read_bytes()\n"
        "    return content if accept == 'image/png' else {'size': len(content)}\n"
    )
    server = serve("--model", f"m={file}", "--raw-predictions")
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "PNG")
    png = buffer.getvalue()
    in_json = tensor("data", [1], "BYTES", [base64.b64encode(png).decode()])
    head = {"name": "data", "shape": [1], "datatype": "BYTES"}
    head["parameters"] = {"binary_data_size": len(png) + 4}
    tail = struct.pack("<I", len(png)) + png
    picture = {"parameters": {"accept": "image/png"}}

    json_answers = [
        outputs(infer(server, in_json, model="m"))["size"]["data"][0],
        outputs(binary(server, {"inputs": [head]}, tail, model="m"))["size"]["data"][0],
        struct.unpack(
            "<q",
            outputs(
                server.post("/v2/models/m/infer", content=png, headers={HEADER: "0"})
            )["size"]["raw"],
        )[0],
        server.post("/v2/models/m/predict/", files={"data": png}).json()["predictions"][
            "size"
        ],
    ]
    assert json_answers == [len(png)] * 4
    pictures = [
        base64.b64decode(
            outputs(infer(server, in_json, model="m", **picture))["predictions"][
                "data"
            ][0]
        ),
        outputs(
            binary(
                server,
                {
                    "inputs": [head],
                    "parameters": {"accept": "image/png", "binary_data_output": True},
                },
                tail,
                model="m",
            )
        )["predictions"]["raw"][4:],
        server.post(
            "/v2/models/m/predict/",
            files={"data": png},
            headers={"Accept": "image/png"},
        ).content,
    ]
    assert pictures == [png] * 3
    bad = infer(server, in_json, model="m", parameters={"accept": "text/csv"})
    assert error(bad).startswith("accept: Must be one of")
