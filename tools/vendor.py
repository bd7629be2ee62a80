"""Copies files of npm packages into deepaas/web/vendor, according to VENDORED.toml.

    python tools/vendor.py                          the versions of VENDORED.toml
    python tools/vendor.py swagger-ui-dist=5.36.0   another version
    python tools/vendor.py --check                  say what has a newer release

npm fetches a package; its hash must be the one that VENDORED.toml has for this version,
or, for another version, the one that the registry names. Then the files are copied,
without references to source maps, which are not copied; large ones are packed, and kept
only so. Then VENDORED.toml is written again.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings it
    import tomli as tomllib

VENDOR = Path(__file__).resolve().parent.parent / "deepaas" / "web" / "vendor"
MANIFEST = VENDOR / "VENDORED.toml"

MIN_PACKED_BYTES = 16384
"""Size from which a text file is packed."""

TEXT = (".js", ".css")

SOURCE_MAP = re.compile(rb"\n*(//|/\*)# sourceMappingURL=[^\n]*\n*\Z")

HEAD = """\
# The files of others in this folder. Written by `make vendor` (tools/vendor.py), which
# reads it too: name, version, files. The integrity is npm's, of the whole package; the
# SHA-256 is that of each file, unpacked: large ones are here as .gz only. License: an
# SPDX expression; its texts are files.
"""


def main(arguments: list[str]) -> None:
    manifest = read_manifest()
    if arguments == ["--check"]:
        sys.exit("\n".join(outdated(manifest, _latest)) or None)
    wanted = dict(argument.split("=", 1) for argument in arguments)
    if unknown := wanted.keys() - manifest.keys():
        sys.exit(f"VENDORED.toml does not list {', '.join(sorted(unknown))}")
    for name, package in manifest.items():
        version = wanted.get(name, package["version"])
        if version != package["version"]:
            package |= {"version": version, "integrity": _integrity(name, version)}
        with tempfile.TemporaryDirectory() as folder:
            archive = _pack(name, version, Path(folder))
            _check(archive, package["integrity"])
            package["files"] = _copy(archive, VENDOR / name, package["files"])
        print(f"{name} {version}: {len(package['files'])} files")
    MANIFEST.write_text(HEAD + "".join(_table(*item) for item in manifest.items()))


def read_manifest() -> dict[str, Any]:
    return tomllib.loads(MANIFEST.read_text())


def outdated(
    manifest: Mapping[str, Any], latest: Callable[[str], str]
) -> Iterator[str]:
    """Name each package that has a newer release, and how to take it."""
    for name, package in manifest.items():
        version = latest(name)
        if _numbers(version) > _numbers(package["version"]):
            yield (
                f"{name} {package['version']} is vendored; {version} is released: "
                f"make vendor ARGS={name}={version}"
            )


def _numbers(version: str) -> list[int]:
    """Return what a release is sorted by; what follows a - or + does not count."""
    return [int(number) for number in re.split(r"[-+]", version)[0].split(".")]


def _latest(name: str) -> str:
    """Return the version that npm installs if none is named."""
    view = ["npm", "view", name, "version", "--json"]
    found: str = json.loads(subprocess.check_output(view))
    return found


def _integrity(name: str, version: str) -> str:
    """Return the hash that the registry names for a package."""
    view = ["npm", "view", f"{name}@{version}", "dist.integrity", "--json"]
    found: str = json.loads(subprocess.check_output(view))
    return found


def _pack(name: str, version: str, folder: Path) -> Path:
    """Fetch a package as npm's archive."""
    pack = ["npm", "pack", f"{name}@{version}", "--json"]
    [described] = json.loads(subprocess.check_output(pack, cwd=folder))
    return folder / described["filename"]


def _check(archive: Path, integrity: str) -> None:
    """Compare an archive with its hash (Subresource Integrity); exit if it differs."""
    algorithm, _, expected = integrity.partition("-")
    digest = hashlib.new(algorithm, archive.read_bytes()).digest()
    if base64.b64encode(digest).decode() != expected:
        sys.exit(f"{archive.name} is not the package of VENDORED.toml ({integrity})")


def _copy(archive: Path, folder: Path, names: list[str]) -> dict[str, str]:
    """Copy files out of an archive; return the SHA-256 of each by its name."""
    hashes = {}
    with tarfile.open(archive) as package:
        for name in sorted(names):
            member = package.extractfile(f"package/{name}")
            if member is None:
                sys.exit(f"{name} is not a file of {archive.name}")
            content = member.read()
            if name.endswith(TEXT):
                content = SOURCE_MAP.sub(b"\n", content)
            hashes[name] = hashlib.sha256(content).hexdigest()
            _write(folder / name, content)
    return hashes


def _write(path: Path, content: bytes) -> None:
    """Write a file, packed if that is worth it; remove the other form of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = path.with_name(f"{path.name}.gz")
    if path.name.endswith(TEXT) and len(content) >= MIN_PACKED_BYTES:
        packed.write_bytes(gzip.compress(content, 9, mtime=0))
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(content)
        packed.unlink(missing_ok=True)


def _table(name: str, package: dict[str, Any]) -> str:
    """Write what the manifest has of a package."""
    keys = ("version", "license", "integrity")
    lines = [f'{key} = "{package[key]}"' for key in keys]
    files = [f'"{file}" = "{sha}"' for file, sha in package["files"].items()]
    texts = (f"[{name}]", *lines, "", f"[{name}.files]", *files)
    return "\n" + "\n".join(texts) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
