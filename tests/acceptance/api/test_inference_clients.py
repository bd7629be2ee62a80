"""tritonclient, as users have it, against our server."""

import asyncio

import numpy
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory):
    tokens = tmp_path_factory.mktemp("t") / "tokens"
    tokens.write_text("secret\n")
    return serve_module(
        *("--model", "t=tests/models/tensors.py"),
        *("--model", "out=tests/models/oip_outputs.py"),
        *("--base-path", "/base", "--auth-token-file", tokens),
    )


def token():
    """A new dict each time: the client adds the headers of its call to it."""
    return {"Authorization": "Bearer secret"}


def url(server):
    return f"127.0.0.1:{server.port}/base"


@pytest.fixture
def client(server):
    with triton.InferenceServerClient(url(server)) as client:
        yield client


def given(name, array, datatype, *, binary=True, module=triton):
    tensor = module.InferInput(name, list(array.shape), datatype)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return tensor


VALUES = {
    "integer": (numpy.array([7], numpy.int64), "INT64"),
    "number": (numpy.array([0.25], numpy.float64), "FP64"),
    "flag": (numpy.array([True]), "BOOL"),
    "text": (numpy.array(["grün"], object), "BYTES"),
    "vector": (numpy.array([1, 2.5], numpy.float32), "FP32"),
    "words": (numpy.array(["a", "b"], object), "BYTES"),
    "matrix": (numpy.ones((2, 3), numpy.float64), "FP64"),
    "settings": (numpy.array(['{"a":1}'], object), "BYTES"),
    "file": (numpy.array([b"\0\xff\0"], object), "BYTES"),
}


def check(result):
    for name, (array, _) in VALUES.items():
        found = result.as_numpy(name)
        assert found.shape == array.shape, name
        if name in ("text", "words", "settings"):
            found = [one.decode() if isinstance(one, bytes) else one for one in found]
        assert list(numpy.ravel(found)) == list(numpy.ravel(array)), name


def inputs(*, binary=True, module=triton):
    return [
        given(name, array, kind, binary=binary or name == "file", module=module)
        for name, (array, kind) in VALUES.items()
    ]


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("t")
    assert client.is_model_ready("t", "3")
    assert not client.is_model_ready("t", "4")
    assert client.get_server_metadata(headers=token())["name"] == "deepaas"
    metadata = client.get_model_metadata("t", "3", headers=token())
    assert metadata["name"] == "t"
    assert metadata["versions"] == ["3"]
    assert metadata["inputs"][0]["datatype"] == "INT64"
    index = client.get_model_repository_index(headers=token())
    assert {one["name"] for one in index} == {"t", "out"}


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_all_kinds_of_arguments_come_back(client, binary_in, binary_out):
    outputs = None
    if binary_out is not None:
        names = [name for name in VALUES if name != "file"]
        outputs = [
            triton.InferRequestedOutput(n, binary_data=binary_out) for n in names
        ]
        outputs.append(triton.InferRequestedOutput("file", binary_data=True))

    result = client.infer(
        "t", inputs(binary=binary_in), outputs=outputs, headers=token()
    )

    check(result)


def test_id_parameters_and_timeout(client):
    result = client.infer(
        "t",
        [given("vector", *VALUES["vector"])],
        request_id="r/1",
        parameters={"integer": 9, "unknown": "x"},
        timeout=30_000_000,
        priority=2,
        headers=token(),
    )

    assert result.get_response()["id"] == "r/1"
    assert result.get_response()["model_version"] == "3"
    assert result.as_numpy("integer").tolist() == [9]


@pytest.mark.parametrize("request_coding", ["gzip", "deflate", None])
@pytest.mark.parametrize("response_coding", ["gzip", "deflate", None])
def test_packed_both_ways(client, request_coding, response_coding):
    result = client.infer(
        "t",
        inputs(),
        request_compression_algorithm=request_coding,
        response_compression_algorithm=response_coding,
        headers=token(),
    )

    check(result)


def test_calls_in_the_background(server):
    with triton.InferenceServerClient(url(server), concurrency=4) as client:
        calls = [
            client.async_infer(
                "t",
                [given("integer", numpy.array([n], numpy.int64), "INT64")],
                headers=token(),
            )
            for n in range(8)
        ]
        found = [call.get_result().as_numpy("integer")[0] for call in calls]

    assert found == list(range(8))


def test_a_batch(client):
    numbers = numpy.arange(64, dtype=numpy.int64).reshape(64, 1)

    result = client.infer("t", [given("integer", numbers, "INT64")], headers=token())

    assert result.as_numpy("integer").tolist() == numbers.tolist()


def test_dtypes_of_outputs(client):
    for kind, dtype, shape in (
        ("array", "float32", (2, 3)),
        ("half", "float16", (2,)),
        ("int8", "int8", (2,)),
        ("uint64", "uint64", (1,)),
        ("flags", "bool", (2,)),
        ("hollow", "float32", (0, 3)),
        ("large", "float32", (1024, 1024)),
    ):
        text = given("kind", numpy.array([kind], object), "BYTES")
        found = client.infer("out", [text], headers=token()).as_numpy("predictions")
        assert (found.dtype.name, found.shape) == (dtype, shape)


def test_errors_have_our_words(client):
    with pytest.raises(InferenceServerException, match="There is no model 'nope'"):
        client.infer("nope", inputs(), headers=token())
    many = given("integer", numpy.array([1000], numpy.int64), "INT64")
    with pytest.raises(InferenceServerException, match="integer: Must be less than"):
        client.infer("t", [many], headers=token())
    with pytest.raises(InferenceServerException, match="token"):
        client.infer("t", inputs())
    with pytest.raises(InferenceServerException, match="no model 'nope'"):
        client.get_model_metadata("nope", headers=token())
    with pytest.raises(InferenceServerException, match="nothing at"):
        client.get_model_config("t", headers=token())


async def test_the_client_for_asyncio(server):
    async with triton_aio.InferenceServerClient(url(server)) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("t", "3")
        metadata = await client.get_model_metadata("t", headers=token())
        assert metadata["versions"] == ["3"]
        for binary in (True, False):
            result = await client.infer(
                "t", inputs(binary=binary, module=triton_aio), headers=token()
            )
            check(result)
        calls = [
            client.infer(
                "t",
                [given("integer", numpy.array([n], numpy.int64), "INT64")],
                headers=token(),
            )
            for n in range(8)
        ]
        results = await asyncio.gather(*calls)
        assert [one.as_numpy("integer")[0] for one in results] == list(range(8))
        with pytest.raises(InferenceServerException, match="no model 'nope'"):
            await client.infer("nope", [], headers=token())


def test_a_body_that_the_client_makes(server):
    body = triton.InferenceServerClient.generate_request_body(
        [given("vector", *VALUES["vector"])]
    )
    data, length = body
    headers = {**token(), "Inference-Header-Content-Length": str(length)}

    answer = server.post("/base/v2/models/t/infer", content=data, headers=headers)

    assert answer.status_code == 200
