"""Undoes the Content-Transfer-Encoding of a form's part (RFC 2045, section 6).

RFC 7578 deprecates this header, but some clients still send it.
"""

import base64
import binascii
from typing import Protocol

from multipart import MultipartSegment

from deepaas.errors import BadBody, UnsupportedMediaType

PLAIN = ("", "7bit", "8bit", "binary")
"""Encodings that change nothing."""


class Decoder(Protocol):
    """Decodes a part that comes in pieces of any size."""

    def decode(self, data: bytes | bytearray) -> bytes:
        """Return the bytes that can be decoded so far. Raises BadBody."""

    def end(self) -> bytes:
        """Return the rest. Raises BadBody for a part that was cut off."""


def decoder_of(part: MultipartSegment) -> Decoder | None:
    """Return the decoder of a part, None for one sent as it is.

    Raises UnsupportedMediaType.
    """
    encoding = part.header("Content-Transfer-Encoding")
    if encoding is None or (name := encoding.strip().lower()) in PLAIN:
        return None
    if name not in _DECODERS:
        raise UnsupportedMediaType(
            f"A part with Content-Transfer-Encoding {name[:40]} cannot be read: send "
            "it as it is, or as base64 or quoted-printable."
        )
    return _DECODERS[name]()


class _Base64:
    def __init__(self) -> None:
        self._pending = b""
        self._ended = False

    def decode(self, data: bytes | bytearray) -> bytes:
        data = self._pending + data.translate(None, b" \t\r\n")
        whole = len(data) - len(data) % 4
        data, self._pending = data[:whole], data[whole:]
        if not data:
            return b""
        if self._ended:
            raise BadBody("A part is not base64: it goes on after its end.")
        self._ended = data.endswith(b"=")
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise BadBody(f"A part is not base64: {error}.") from error

    def end(self) -> bytes:
        if self._pending:
            raise BadBody("A part in base64 is cut off.")
        return b""


class _QuotedPrintable:
    """Keeps a `=` that begins no code as it is, as section 6.7 advises."""

    def __init__(self) -> None:
        self._pending = b""

    def decode(self, data: bytes | bytearray) -> bytes:
        data = self._pending + data
        # The last `=` may begin a code or a line break that has not come yet.
        cut = data.rfind(b"=", max(0, len(data) - 2))
        whole = len(data) if cut < 0 else cut
        data, self._pending = data[:whole], data[whole:]
        return binascii.a2b_qp(data)

    def end(self) -> bytes:
        return binascii.a2b_qp(self._pending)


_DECODERS: dict[str, type[_Base64] | type[_QuotedPrintable]] = {
    "base64": _Base64,
    "quoted-printable": _QuotedPrintable,
}
