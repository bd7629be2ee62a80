"""Deep models with random weights: the same code on every server and in the bare loop.

A model decodes a list of inputs into one batch on its device, and runs the batch. It
appends a line for each part to the file that BENCHMARK_PARTS names: the part, the size
of the batch, and seconds.
"""

from __future__ import annotations

import io
import os
import threading
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

OUTPUTS = 16
"""Numbers of the answer to one input."""

SIDE = 224
"""Height and width of the pictures of the model, which crops larger ones."""

PATCH = 16

WORDS = 30_000
MAX_WORDS = 256

CPU_BATCH = 8
GPU_BATCH = 32
"""Inputs that are computed together, at most, unless BENCHMARK_BATCH says otherwise."""


@dataclass(frozen=True)
class Size:
    """The dimensions of both transformers."""

    layers: int
    heads: int
    width: int


SIZES = {
    "small": Size(12, 3, 192),  # ViT-Ti
    "base": Size(12, 12, 768),  # ViT-B, and BERT-base
    "large": Size(24, 16, 1024),  # ViT-L, and BERT-large
}


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def size() -> str:
    """Return the size of the models: BENCHMARK_SIZE, or the one that fits."""
    default = "base" if torch.cuda.is_available() else "small"
    return os.environ.get("BENCHMARK_SIZE", default)


def max_batch() -> int:
    default = GPU_BATCH if torch.cuda.is_available() else CPU_BATCH
    return int(os.environ.get("BENCHMARK_BATCH", default))


class Parts:
    """Notes how long each part of a batch took."""

    def __init__(self) -> None:
        path = os.environ.get("BENCHMARK_PARTS", os.devnull)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, part: str, inputs: int, began: float) -> float:
        """Note a part that began at that time; return the time now."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        os.write(self._file, f"{part} {inputs} {now - began:.9f}\n".encode())
        return now


class Model:
    """A network and what makes a batch of it; inputs are files, or texts."""

    def __init__(self) -> None:
        self.device = device()
        # half precision is the fast way on a GPU, and the slow one on most processors
        self.dtype = torch.bfloat16 if self.device.type == "cuda" else torch.float32
        self.parts = Parts()
        torch.manual_seed(0)
        self.net = self.build(SIZES[size()]).eval().to(self.device, self.dtype)

    def build(self, size: Size) -> torch.nn.Module:
        raise NotImplementedError

    def decode(self, inputs: Sequence[Any]) -> torch.Tensor:
        """Return one batch on the device."""
        raise NotImplementedError

    def run(self, batch: torch.Tensor) -> list[list[float]]:
        """Return a list of numbers for each input of a batch."""
        began = time.perf_counter()
        with torch.inference_mode():
            answers: list[list[float]] = self.net(batch).float().cpu().tolist()
        self.parts.note("model", len(answers), began)
        return answers

    def __call__(self, inputs: Sequence[Any]) -> list[list[float]]:
        return self.run(self.decode(inputs))


class Pictures(Model):
    """A vision transformer for PNG files: their bytes, or their paths."""

    def __init__(self) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(os.cpu_count())
        self._buffers = threading.local()  # BentoML calls from several threads

    def build(self, size: Size) -> torch.nn.Module:
        return _VisionTransformer(size)

    def decode(self, inputs: Sequence[bytes | Path]) -> torch.Tensor:
        began = time.perf_counter()
        pixels = self._buffer()[: len(inputs)]
        list(self._pool.map(_decode_into, inputs, pixels))
        decoded = self.parts.note("decode", len(inputs), began)
        batch = pixels.to(self.device, non_blocking=True).to(self.dtype)
        batch = batch.div_(127.5).sub_(1).permute(0, 3, 1, 2)
        self.parts.note("transfer", len(inputs), decoded)
        return batch

    def _buffer(self) -> torch.Tensor:
        """Return this thread's memory for a batch; the GPU reads pinned memory fast."""
        if not hasattr(self._buffers, "pixels"):
            self._buffers.pixels = torch.empty(
                (max_batch(), SIDE, SIDE, 3),
                dtype=torch.uint8,
                pin_memory=self.device.type == "cuda",
            )
        pixels: torch.Tensor = self._buffers.pixels
        return pixels


def _decode_into(file: bytes | Path, pixels: torch.Tensor) -> None:
    content = file if isinstance(file, bytes) else file.read_bytes()
    picture = _decode_png(content)
    top, left = (picture.shape[0] - SIDE) // 2, (picture.shape[1] - SIDE) // 2
    pixels.copy_(picture[top : top + SIDE, left : left + SIDE])


def _decode_by_torchvision(content: bytes) -> torch.Tensor:
    """Return rows, columns, colours: as both decoders lay them out in memory."""
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    picture: torch.Tensor = torchvision.io.decode_png(data, ImageReadMode.RGB)
    return picture.permute(1, 2, 0)


def _decode_by_pillow(content: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(content)) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB")))


def encode_png(pixels: np.ndarray) -> bytes:
    """Return a PNG file from rows, columns, colours."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


try:  # its builds do not fit all builds of PyTorch; some have no libpng
    import torchvision
    from torchvision.io import ImageReadMode

    _decode_by_torchvision(encode_png(np.zeros((1, 1, 3), np.uint8)))
    _decode_png = _decode_by_torchvision
except (ImportError, RuntimeError):
    _decode_png = _decode_by_pillow

DECODER = _decode_png.__name__.rpartition("_")[2]


class _VisionTransformer(torch.nn.Module):
    """Patches of 16 x 16, a class token, and an encoder that normalises first."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.patches = torch.nn.Conv2d(3, size.width, PATCH, PATCH)
        number = (SIDE // PATCH) ** 2 + 1
        self.first = torch.nn.Parameter(torch.randn(1, 1, size.width))
        self.places = torch.nn.Parameter(0.02 * torch.randn(1, number, size.width))
        self.layers = _encoder(size, norm_first=True)
        self.head = torch.nn.Linear(size.width, OUTPUTS)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.patches(pixels).flatten(2).transpose(1, 2)
        first = self.first.expand(len(patches), -1, -1)
        hidden = self.layers(torch.cat([first, patches], 1) + self.places)
        answers: torch.Tensor = self.head(hidden[:, 0])
        return answers


def _encoder(size: Size, *, norm_first: bool) -> torch.nn.TransformerEncoder:
    layer = torch.nn.TransformerEncoderLayer(
        size.width,
        size.heads,
        4 * size.width,
        activation="gelu",
        batch_first=True,
        norm_first=norm_first,
    )
    norm = torch.nn.LayerNorm(size.width) if norm_first else None
    return torch.nn.TransformerEncoder(
        layer, size.layers, norm, enable_nested_tensor=False
    )


class Texts(Model):
    """A text encoder: words are numbered by a checksum, so that it has no files."""

    def build(self, size: Size) -> torch.nn.Module:
        return _Encoder(size)

    def decode(self, inputs: Sequence[str]) -> torch.Tensor:
        began = time.perf_counter()
        texts = [
            [1 + zlib.crc32(word.encode()) % WORDS for word in text.split()[:MAX_WORDS]]
            for text in inputs
        ]
        longest = max(map(len, texts))
        words = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
        decoded = self.parts.note("decode", len(inputs), began)
        batch = words.to(self.device)
        self.parts.note("transfer", len(inputs), decoded)
        return batch


class _Encoder(torch.nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(WORDS + 1, size.width, padding_idx=0)
        self.positions = torch.nn.Embedding(MAX_WORDS, size.width)
        self.layers = _encoder(size, norm_first=False)
        self.head = torch.nn.Linear(size.width, OUTPUTS)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        padding = words == 0
        places = torch.arange(words.shape[1], device=words.device)
        hidden = self.words(words) + self.positions(places)
        hidden = self.layers(hidden, src_key_padding_mask=padding)
        hidden = hidden.masked_fill(padding.unsqueeze(2), 0)
        count = (~padding).sum(1, keepdim=True)
        answers: torch.Tensor = self.head(hidden.sum(1) / count)
        return answers


MODELS: dict[str, type[Model]] = {"pictures": Pictures, "texts": Texts}


def load(workload: str) -> Model:
    """Return a model that has computed a batch of each size that is likely."""
    model = MODELS[workload]()
    picture = encode_png(np.zeros((SIDE, SIDE, 3), np.uint8))
    example: Any = picture if workload == "pictures" else "a text"
    for inputs in {1, max_batch() // 2, max_batch()}:
        model([example] * max(inputs, 1))
    return model
