#!/bin/bash
# benchmarks.deep for a machine with a GPU that has PyTorch and no network.
#
#     benchmarks/deep_device.sh pack python3.12 FILE      here: write the packages to FILE
#     benchmarks/deep_device.sh run FILE [OPTION ...]     there: in a copy of the checkout
#
# `pack` takes a Python of the same minor version as that machine's. PyTorch, NumPy, Pillow
# and uvloop are those of that machine. The code is that of the copy, not of FILE.
set -euo pipefail
cd "$(dirname "$0")/.."
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT

pack() {
    local copy=$site/copy packages=$site/packages
    mkdir "$copy" "$packages"
    cp -r deepaas setup.cfg setup.py pyproject.toml README.md LICENSE "$copy"
    "$1" -m pip install --quiet --disable-pip-version-check --no-compile \
        --target "$packages" \
        litserve==0.2.19 python-multipart==0.0.34 bentoml==1.4.39 "$copy"
    rm -rf "$packages"/{bin,numpy,numpy.libs,numpy-*,uvloop,uvloop-*}
    tar -C "$packages" -cJf "$2" .
    ls -lh "$2"
}

run() {
    python3 -m tarfile -e "$1" "$site"
    export PYTHONPATH="$PWD:$site:$PWD/benchmarks/models" PYTHONUNBUFFERED=1
    python3 - <<'END'
import importlib.metadata as packages, os, sys
names = "torch torchvision numpy pillow psutil uvloop aiohttp deepaas litserve bentoml"
print("python", sys.version.split()[0], "cores", os.cpu_count())
for name in names.split():
    try:
        print(name, packages.version(name))
    except packages.PackageNotFoundError:
        print(name, "is missing")
END
    python3 -m benchmarks.deep --here --processes 6 "${@:2}"
}

"$@"
