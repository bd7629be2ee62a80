"""The content coding of an answer (RFC 9110, section 12.5.3): gzip or none."""

import functools

from aiohttp import web

from deepaas.api.context import CONTEXT
from deepaas.media_types import weighted

MIN_COMPRESS_BYTES = 1025
"""Bytes from which compression is worth its time."""

_IMPLIED = 1e-9
"""Weight of an answer without a coding, where the caller gives it none."""


def compress(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Compresses text and JSON where the caller accepts that; returns the response.

    An answer that has a content coding already stays as it is.
    """
    if (
        isinstance(response, web.Response)
        and isinstance(response.body, (bytes, bytearray))
        and may_compress(request, response, len(response.body))
        and "Content-Encoding" not in response.headers
    ):
        response.enable_compression(web.ContentCoding.gzip)
    return response


def may_compress(request: web.Request, response: web.StreamResponse, size: int) -> bool:
    """Tells whether an answer of `size` bytes is sent compressed.

    If that depends on the caller, the response gets a header Vary.
    """
    accepted = ",".join(request.headers.getall("Accept-Encoding", ()))
    worthwhile = (
        size >= MIN_COMPRESS_BYTES
        and _is_text(response.content_type)
        and not request[CONTEXT].uncoded
    )
    if not worthwhile and (not size or ";" not in accepted):
        return False
    gzip, plain = gzip_weights(accepted)
    if not worthwhile and (plain or not gzip):
        return False  # unless the caller refuses an answer that is not compressed
    response.headers["Vary"] = "Accept-Encoding"
    return gzip > 0 and gzip >= plain


def _is_text(media_type: str) -> bool:
    return media_type.startswith("text/") or media_type.endswith(("/json", "+json"))


@functools.lru_cache(maxsize=256)
def gzip_weights(accept_encoding: str) -> tuple[float, float]:
    """Returns the weights of gzip and of no coding at all; 0 means not acceptable."""
    weights: dict[str, float] = {}
    for coding, weight in weighted(accept_encoding.lower()):
        weights.setdefault("gzip" if coding == "x-gzip" else coding, weight)
    others = weights.get("*")
    gzip = weights.get("gzip", others or 0.0)
    plain = weights.get("identity", 0.0 if others == 0 else _IMPLIED)
    return gzip, plain
