"""From a picture of a digit to what the model reads: 8 by 8 numbers from 0 to 16."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 8
"""Rows and columns that the model reads, as in scikit-learn's data set."""

FULL = 16.0
"""The strongest ink, as in the data set."""

MAX_PIXELS = 25_000_000
"""A larger picture is refused before it is decoded: this many take some 300 MB."""

WORK_SIDE = 256
"""Longest side, in pixels, at which a picture is looked at."""


class UnreadableImage(ValueError):
    """The file is not a picture, or the picture is empty."""


def read_ink(path: str | Path) -> Image.Image:
    """Read a PNG or JPEG as a grey picture of its ink: 0 for paper, at most 255.

    Ink is what differs from the paper, in colour or in opacity: dark on light and light
    on dark are the same. Raises UnreadableImage.
    """
    image = _read(path)
    image.thumbnail((WORK_SIDE, WORK_SIDE))
    pixels = np.asarray(image, dtype=float)
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    paper = np.median(edges, axis=0)
    ink = np.abs(pixels - paper).max(axis=2)
    if ink.max() < 24:
        raise UnreadableImage("the picture is empty")
    return Image.fromarray((ink * 255 / ink.max()).astype(np.uint8))


def _read(path: str | Path) -> Image.Image:
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image = ImageOps.exif_transpose(image)
    except Image.DecompressionBombError as error:
        message = f"the picture has over {MAX_PIXELS:,} pixels"
        raise UnreadableImage(message) from error
    except UnidentifiedImageError as error:
        raise UnreadableImage("this is not a PNG or JPEG picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImage("the picture is damaged") from error
    if image.mode.startswith("I"):  # 16 bits: convert() would cut, not scale
        image = Image.fromarray((np.asarray(image) // 256).astype(np.uint8))
    # "RGBa" is multiplied with the opacity: what is transparent has no colour.
    return image.convert("RGBA").convert("RGBa")


def normalise(ink: Image.Image, threshold: float = 0.5) -> np.ndarray:
    """Return the digit in a picture of ink, shape (8, 8), values 0 to 16.

    It is cropped, and scaled to fill the square. What is clearly fainter than the
    threshold, 0 to 1, is a shadow on the paper; a low one makes thick lines.
    """
    strength = np.asarray(ink, dtype=float) / 255
    strength = np.clip(2 * (strength - threshold) + 0.5, 0, 1)
    digit = Image.fromarray((strength * 255).astype(np.uint8))
    left, top, right, bottom = digit.getbbox()
    side = max(right - left, bottom - top)
    x, y = (left + right - side) // 2, (top + bottom - side) // 2
    square = digit.crop((x, y, x + side, y + side))
    # The mean of each cell, as the data set was made.
    cells = square.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(cells, dtype=float) / 255 * FULL
