"""The pictures for training the model, and those for testing it."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from deepaas_digits.images import FULL, normalise

COPIES = 5
"""Variants of each picture in the training set."""

FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralBol",
    "STIXGeneralItalic",
    "cmr10",
    "cmss10",
    "cmtt10",
)
"""Fonts that come with matplotlib. People also send printed digits."""


@cache
def for_training() -> tuple[np.ndarray, np.ndarray]:
    """Return the training pictures, shape (n, 64), values 0 to 1, and their labels."""
    rng = np.random.default_rng(0)
    learn, _, labels, _ = _split()
    images = [enlarge(digit) for digit in learn]
    x = [_flat(image) for image in images]
    y = list(labels)
    images += [_print(digit, font) for font in FONTS for digit in range(10)]
    labels = [*labels, *(len(FONTS) * list(range(10)))]
    for _ in range(COPIES):
        x += [_vary(image, rng) for image in images]
        y += labels
    return np.array(x), np.array(y)


@cache
def held_out() -> tuple[np.ndarray, np.ndarray]:
    """Return the test pictures, shape (n, 8, 8), and their labels.

    They are as the data set has them, with values from 0 to 16, and never used in
    training.
    """
    _, pictures, _, labels = _split()
    return pictures, labels


@cache
def for_testing() -> tuple[np.ndarray, np.ndarray]:
    """Return the test pictures as the model reads them: (n, 64), values 0 to 1."""
    pictures, labels = held_out()
    return np.array([_flat(enlarge(digit)) for digit in pictures]), labels


def enlarge(digit: np.ndarray, side: int = 48) -> Image.Image:
    """Return an (8, 8) picture as a smooth one, light on dark, with a margin."""
    small = Image.fromarray((digit / FULL * 255).astype(np.uint8))
    image = Image.new("L", (side * 3 // 2, side * 3 // 2))
    image.paste(small.resize((side, side), Image.Resampling.BICUBIC), (side // 4,) * 2)
    return image


def _split() -> list[np.ndarray]:
    digits = load_digits()
    return train_test_split(
        digits.images, digits.target, test_size=0.25, random_state=0
    )


def _print(digit: int, font: str) -> Image.Image:
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    image = Image.new("L", (72, 72))
    ImageDraw.Draw(image).text(
        (36, 36), str(digit), fill=255, font=ImageFont.truetype(path, 48), anchor="mm"
    )
    return image


def _vary(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Return the picture slightly turned, slanted and stretched."""
    turned = image.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR)
    slant, width = rng.uniform(-0.2, 0.2), rng.uniform(0.7, 1.4)
    middle = image.width / 2
    changed = turned.transform(
        image.size,
        Image.Transform.AFFINE,
        (width, slant, middle * (1 - width - slant), 0, 1, 0),
        Image.Resampling.BILINEAR,
    )
    return _flat(changed, threshold=rng.uniform(0.3, 0.8))


def _flat(image: Image.Image, threshold: float = 0.5) -> np.ndarray:
    return normalise(image, threshold).ravel() / FULL
