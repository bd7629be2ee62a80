"""Content-Transfer-Encoding, in pieces of any size."""

import base64
import quopri

import pytest
from multipart import MultipartSegment

from deepaas.api.requests.transfer import decoder_of
from deepaas.errors import BadBody, UnsupportedMediaType

CONTENT = bytes(range(256)) * 20 + b"= \n =3D=\r"


def decoder(encoding):
    return decoder_of(MultipartSegment([("Content-Transfer-Encoding", encoding)]))


def decoded(encoding, data, size):
    made = decoder(encoding)
    pieces = [made.decode(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*pieces, made.end()])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 76, 77, 10_000])
@pytest.mark.parametrize(
    ("encoding", "encode"),
    [("base64", base64.encodebytes), ("quoted-printable", quopri.encodestring)],
)
def test_pieces(encoding, encode, size):
    assert decoded(encoding, encode(CONTENT), size) == CONTENT


@pytest.mark.parametrize(
    "data", [b"YQ", b"YQ=", b"Y=Q=", b"YQ==YQ==", b"Y-_=", b"===="]
)
def test_what_is_not_base64(data):
    for size in (1, 3, 4, 100):
        with pytest.raises(BadBody, match="base64"):
            decoded("base64", data, size)


def test_what_is_not_quoted_printable_stays():
    for size in (1, 2, 3, 100):
        assert decoded("Quoted-Printable", b"a=zzb=3d=\r\nc", size) == b"a=zzb=c"


def test_other_encodings():
    for name in ("", "7bit", "8BIT", " binary "):
        assert decoder(name) is None
    assert decoder_of(MultipartSegment([])) is None
    with pytest.raises(UnsupportedMediaType, match="x-uuencode"):
        decoder("x-uuencode")
