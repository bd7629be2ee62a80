"""Vendored files: the hash, the licence, and no address of another host."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from deepaas.api import pages
from tests.server import ROOT
from tools.vendor import SOURCE_MAP, VENDOR, outdated, read_manifest

OURS = [path for path in pages.WEB.iterdir() if path.is_file()]


def content_of(path):
    """A file as a client that takes no coding gets it."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


@pytest.fixture(scope="module")
def manifest():
    return read_manifest()


def test_each_file_is_the_one_of_the_package(manifest):
    """A large one is there packed, and not as it is too."""
    listed = {
        VENDOR / name / file: sha
        for name, package in manifest.items()
        for file, sha in package["files"].items()
    }
    there = {
        path.with_suffix("") if path.suffix == ".gz" else path: path
        for path in VENDOR.glob("*/**/*")
        if path.is_file()
    }
    assert there.keys() == listed.keys()
    assert len(there) == len([p for p in VENDOR.glob("*/**/*") if p.is_file()])
    for path, sha in listed.items():
        assert hashlib.sha256(content_of(there[path])).hexdigest() == sha, path
    assert [path.name for path in there.values() if path.suffix == ".gz"]


def test_each_package_has_a_licence_and_where_it_is_from(manifest):
    for name, package in manifest.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["integrity"].startswith("sha512-")
        assert "LICENSE" in package["files"]
        text = (VENDOR / name / "LICENSE").read_text()
        assert re.search("Apache License|MIT License", text)
        for licence in package["license"].split(" AND "):
            assert licence in (ROOT / "setup.cfg").read_text()


def test_swagger_ui_is_a_version_that_reads_no_query(manifest):
    """GHSA-qrmm-w75w-3wpx: until 4.1.3, `?url=` loaded a document of anyone."""
    version = manifest["swagger-ui-dist"]["version"]
    assert tuple(map(int, version.split("."))) >= (5, 35, 0)


def test_nothing_is_fetched_from_elsewhere():
    assert OURS
    for path in [*pages.STATIC_FILES.values(), *pages.UI_FILES.values()]:
        content = content_of(path)
        assert not SOURCE_MAP.search(content), path
        if path.name.endswith((".css", ".css.gz")):
            assert not re.search(rb"(@import|url\()\s*[\"']?(https?:)?//", content)
    for path in OURS:
        assert "://" not in path.read_text(), path


def test_a_source_map_is_removed():
    for end in (b"\n//# sourceMappingURL=a.js.map\n", b"\n\n/*# sourceMappingURL=a */"):
        assert SOURCE_MAP.sub(b"\n", b"x;" + end) == b"x;\n"
    text = b"x = '//# sourceMappingURL=a'\ny;\n"
    assert SOURCE_MAP.sub(b"\n", text) == text


def test_what_has_a_newer_release_is_named():
    manifest = {name: {"version": "1.9.0"} for name in ("a", "b", "c", "d", "e")}
    latest = {"a": "1.9.0", "b": "1.10.0", "c": "1.8.9", "d": "2.0.0-rc.1", "e": "1.9"}
    said = list(outdated(manifest, latest.__getitem__))
    assert [line.split()[0] for line in said] == ["b", "d"]
    assert said[0].endswith("make vendor ARGS=b=1.10.0")


def test_the_wheel_has_the_files_and_their_licences(tmp_path):
    """The pages are at most 0.8 MB of it; most of that is Swagger UI."""
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "deepaas", source / "deepaas", ignore=ignore)
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", source]
    offline = ["--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*build, *offline, "-w", tmp_path], check=True, timeout=50)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        pages_bytes = sum(
            entry.compress_size
            for entry in archive.infolist()
            if entry.filename.startswith("deepaas/web/")
        )
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        text = archive.read(metadata).decode()
    print(f"the pages are {pages_bytes:,} bytes of the wheel")
    assert pages_bytes <= 800_000
    web = [path for path in pages.WEB.rglob("*") if path.is_file()]
    assert {str(path.relative_to(ROOT)) for path in web} <= set(names)
    assert "License-Expression: Apache-2.0 AND BSD-3-Clause AND MIT" in text
    for path in VENDOR.glob("*/*LICENSE*"):
        assert f"License-File: {path.relative_to(ROOT)}" in text


def test_newer_releases_are_looked_for_every_week():
    workflow = (ROOT / ".github" / "workflows" / "weekly.yml").read_text()
    assert re.search(r'cron: "\d+ \d+ \* \* \d"', workflow)
    assert "run: .ci/weekly\n" in workflow
    assert os.access(ROOT / ".ci" / "weekly", os.X_OK)
    assert "\nmake vendor-check\n" in (ROOT / ".ci" / "weekly").read_text()
