"""Compares the speed and the strictness of parsers of multipart forms.

    pip install multipart python-multipart streaming-form-data aiohttp
    python -m benchmarks.parsers

Prints a table of those that are installed. The form has one file of random bytes, which
comes in pieces, as from a socket. Where a parser has limits of its own, they are those
that it has by default, and for `multipart` those that we set.
"""

import asyncio
import importlib.util
import os
import time

BOUNDARY = "0123456789abcdef"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
PIECE_BYTES = 64 * 1024
MIB = 1024 * 1024


def part(content, name="data", more=""):
    head = f'Content-Disposition: form-data; name="{name}"; filename="a"\r\n{more}'
    return f"--{BOUNDARY}\r\n{head}\r\n".encode() + content + b"\r\n"


LAST_BOUNDARY = f"--{BOUNDARY}--\r\n".encode()


def with_multipart(pieces):
    from multipart import PushMultipartParser

    content = bytearray()
    with PushMultipartParser(BOUNDARY, max_segment_count=1000) as parser:
        for piece in pieces:
            for event in parser.parse(piece):
                if isinstance(event, bytes | bytearray):
                    content += event
    return content


def with_python_multipart(pieces):
    from python_multipart.multipart import MultipartParser

    content = bytearray()

    def take(data, start, end):
        content.extend(memoryview(data)[start:end])

    parser = MultipartParser(BOUNDARY, {"on_part_data": take})
    for piece in pieces:
        parser.write(piece)
    parser.finalize()
    return content


def with_streaming_form_data(pieces):
    from streaming_form_data import StreamingFormDataParser
    from streaming_form_data.targets import BaseTarget

    content = bytearray()

    class Target(BaseTarget):
        def on_data_received(self, chunk):
            content.extend(chunk)

    parser = StreamingFormDataParser({"Content-Type": CONTENT_TYPE})
    parser.register("data", Target())
    for piece in pieces:
        parser.data_received(piece)
    return content


def with_aiohttp(pieces):
    return asyncio.run(_with_aiohttp(pieces))


async def _with_aiohttp(pieces):
    from aiohttp import MultipartReader, StreamReader
    from aiohttp.base_protocol import BaseProtocol

    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 2**40, loop=loop)
    for piece in pieces:
        stream.feed_data(piece)
    stream.feed_eof()
    content = bytearray()
    async for one in MultipartReader({"Content-Type": CONTENT_TYPE}, stream):
        while piece := await one.read_chunk():
            content += piece
    return content


PARSERS = {
    "multipart": with_multipart,
    "python-multipart": with_python_multipart,
    "streaming-form-data": with_streaming_form_data,
    "aiohttp": with_aiohttp,
}


def cut(body, size=PIECE_BYTES):
    return [body[start : start + size] for start in range(0, len(body), size)]


def seconds(parse, size, times):
    pieces = cut(part(os.urandom(size)) + LAST_BOUNDARY)
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        parse(pieces)
        best = min(best, time.perf_counter() - began)
    return best


def refuses(parse, body):
    try:
        parse(cut(body))
    except Exception:  # each has its own
        return "yes"
    return "no"


def in_any_pieces(parse):
    """Tell whether the result is the same for pieces of any size."""
    content = b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\r\n-\n" + bytes(range(256))
    body = part(content) + LAST_BOUNDARY
    try:
        same = all(parse(cut(body, size)) == content for size in (1, 2, 7, 100, 9999))
    except Exception:
        same = False
    return "yes" if same else "no"


def main():
    print(
        "| parser | MB/s | 1 MiB, ms | notices a cut | limits parts "
        "| limits a header | any pieces |\n|---|---|---|---|---|---|---|"
    )
    for name, parse in PARSERS.items():
        if importlib.util.find_spec(name.replace("-", "_")) is None:
            continue
        whole = part(bytes(1000)) + LAST_BOUNDARY
        row = [
            f"{100 * MIB / seconds(parse, 100 * MIB, 3) / 1e6:,.0f}",
            f"{seconds(parse, MIB, 50) * 1e3:.2f}",
            refuses(parse, whole[:-300]),
            refuses(parse, part(b"") * 100_000 + LAST_BOUNDARY),
            refuses(parse, part(b"", more=f"X: {'y' * MIB}\r\n") + LAST_BOUNDARY),
            in_any_pieces(parse),
        ]
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
