"""The names of the files that deepaas-cli writes."""

from __future__ import annotations

import pytest

from deepaas.cli.output import with_extension


@pytest.mark.parametrize(
    ("path", "media_type", "written"),
    [
        ("a/out", "image/png", "a/out.png"),
        ("out.PNG", "image/png", "out.PNG"),
        ("out.jpeg", "image/jpeg", "out.jpeg"),
        ("out.dat", "image/png", "out.dat.png"),
        ("out", "text/csv; charset=utf-8", "out.csv"),
        ("model.h5", "application/octet-stream", "model.h5"),
        ("out", "audio/wav", "out.wav"),
        ("out", "audio/ogg", "out.ogg"),
        ("out", "image/jpg", "out.jpg"),
        ("out.jpeg", "image/jpg", "out.jpeg"),
        ("out", "image/webp", "out.webp"),
        ("out", "application/x-ndjson", "out.ndjson"),
        ("out.jsonl", "application/x-ndjson", "out.jsonl"),
        ("out", "application/xml", "out.xml"),
        ("out", "application/gzip", "out.gz"),
        ("out.xyz", "chemical/x-nobody-knows", "out.xyz"),
    ],
)
def test_extensions(path, media_type, written):
    assert with_extension(path, media_type) == written
