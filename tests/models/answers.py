"""Answers in every way that the page shows: JSON, media, streams, files."""

import io
import time
import wave
import zipfile

import numpy
from PIL import Image
from webargs import fields

TYPES = [
    "application/json",
    "application/x-ndjson",
    "text/event-stream",
    "text/csv",
    "text/plain",
    "text/html",
    "image/png",
    "image/svg+xml",
    "audio/wav",
    "video/mp4",
    "application/pdf",
    "application/zip",
]

SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">
<script>top.hurt = true</script><circle cx="20" cy="20" r="18" fill="teal"/></svg>"""


def picture():
    file = io.BytesIO()
    Image.fromarray(numpy.arange(1024, dtype="uint8").reshape(32, 32)).save(file, "PNG")
    return file.getvalue()


def sound():
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 8000, 0, "NONE", ""))
        wav.writeframes(b"\0\0" * 800)
    return file.getvalue()


def archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("a.txt", "hello")
    return file.getvalue()


def get_predict_args():
    return {
        "shape": fields.Str(load_default="bars"),
        "items": fields.Int(load_default=3),
        "fail_at": fields.Int(load_default=-1),
        "pause": fields.Float(load_default=0.0),
        "accept": fields.Str(load_default=TYPES[0], metadata={"enum": TYPES}),
    }


def shaped(shape, items):
    if shape == "bars":
        return {"labels": ["cat", "dog", "cow"], "probabilities": [0.25, 0.7, 0.05]}
    if shape == "table":
        return [{"x": number, "name": f"row {number}"} for number in range(items)]
    if shape == "large":
        return {"values": ["0123456789" * 10] * items}
    return {"nested": {"deep": [1, None, True]}, "text": shape, "empty": {}}


def yielded(items, fail_at, pause):
    for number in range(items):
        if number == fail_at:
            raise ValueError("no more")
        yield {"n": number}
        time.sleep(pause)


def predict(shape, items, fail_at, pause, accept):
    if accept in ("application/x-ndjson", "text/event-stream"):
        return yielded(items, fail_at, pause)
    return {
        "application/json": lambda: shaped(shape, items),
        "text/csv": lambda: 'a,b\r\n1,"x, y"\r\n2,z\r\n',
        "text/plain": lambda: "plain <b>text</b>",
        "text/html": lambda: "<h1>markup</h1><script>top.hurt = true</script>",
        "image/png": picture,
        "image/svg+xml": lambda: SVG,
        "audio/wav": sound,
        "video/mp4": lambda: b"\0\0\0\x18ftypmp42" + bytes(100),
        "application/pdf": lambda: b"%PDF-1.4\n%%EOF",
        "application/zip": archive,
    }[accept]()
