"""From a picture of a digit to what the model reads: 8 by 8 numbers from 0 to 16."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 8
"""Rows and columns that the model reads, as in scikit-learn's data set."""

FULL = 16.0
"""The strongest ink, as in the data set."""

MAX_PIXELS = 50_000_000
"""A larger picture is refused before it is decoded."""

WORK_SIDE = 256
"""Longest side, in pixels, at which a picture is looked at."""


class UnreadableImage(ValueError):
    """The file is no picture, or there is nothing in it."""


def read_image(path: str | Path) -> Image.Image:
    """Read a PNG or JPEG as a grey picture; transparent parts are white.

    Raises UnreadableImage.
    """
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImage(f"the picture has over {MAX_PIXELS} pixels")
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UnreadableImage("this is no PNG or JPEG picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise UnreadableImage(f"the picture is damaged: {error}") from error
    upright.thumbnail((WORK_SIDE, WORK_SIDE))
    paper = Image.new("RGBA", upright.size, "white")
    return Image.alpha_composite(paper, upright).convert("L")


def normalise(image: Image.Image) -> np.ndarray:
    """Return the digit of a grey picture, shape (8, 8), values 0 to 16.

    The ink is what differs from the paper, whichever of them is dark. It is cropped,
    and scaled to fill the square. Raises UnreadableImage when there is no ink.
    """
    grey = np.asarray(image, dtype=float)
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    ink = np.abs(grey - paper)
    if ink.max() < 24:
        raise UnreadableImage("the picture is empty")
    ink = np.clip(ink / ink.max() * 1.1 - 0.1, 0, 1)  # shadows and noise are paper
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    digit = Image.fromarray((ink * 255).astype(np.uint8))
    scale = 4 * SIDE / max(digit.size)
    size = [max(1, round(side * scale)) for side in digit.size]
    digit = digit.resize(
        size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    )
    square = Image.new("L", (4 * SIDE, 4 * SIDE))
    square.paste(digit, [(4 * SIDE - side) // 2 for side in size])
    # The mean of each block of 4 by 4 pixels, as the data set was made.
    blocks = np.asarray(square, dtype=float).reshape(SIDE, 4, SIDE, 4).mean((1, 3))
    return blocks / blocks.max() * FULL
