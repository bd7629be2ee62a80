"""The picture of a prediction: the input beside a bar chart of the probabilities."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from deepaas_digits.images import FULL


def draw_prediction(
    ink: Image.Image, digit: np.ndarray, probabilities: np.ndarray
) -> io.BytesIO:
    """Return a PNG of the picture, of what the model saw in it, and of its answer."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[2, 2, 4])
    left.imshow(ink, cmap="gray_r", vmin=0, vmax=255)
    left.set_title("picture")
    middle.imshow(digit, cmap="gray_r", vmin=0, vmax=FULL)
    middle.set_title("as the model sees it")
    for axes in (left, middle):
        axes.set_axis_off()
    label = int(probabilities.argmax())
    bars = right.bar(np.arange(10), probabilities, color="lightsteelblue")
    bars[label].set_color("steelblue")
    right.set_xticks(np.arange(10))
    right.set_ylim(0, 1)
    right.set_ylabel("probability")
    right.set_title(f"this is a {label} ({probabilities[label]:.0%})")
    right.spines[["top", "right"]].set_visible(False)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100)
    png.seek(0)
    return png
