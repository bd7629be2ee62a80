"""An image classifier in PyTorch: is it a circle, a square or a triangle?

It learns from pictures that it draws itself, so nothing is downloaded. Serve it with:

    deepaas-run --model shapes=examples/shapes.py
"""

import os
import random
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from aiohttp import web
from marshmallow import fields
from marshmallow.validate import Range
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError
from torch import nn
from torch.nn.functional import cross_entropy

from deepaas import progress
from deepaas.model.v2.wrapper import UploadedFile

SHAPES = ["circle", "square", "triangle"]
SIDE = 32
FILE = Path(
    os.environ.get("SHAPES_FILE", "~/.local/share/deepaas-shapes/weights.pt")
).expanduser()

schema = {
    "label": fields.Str(required=True),
    "labels": fields.List(fields.Str(), required=True),
    "probabilities": fields.List(fields.Float(), required=True),
}


def make_network():
    """Return a small convolutional network with random weights."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 4 * 4, len(SHAPES))),
    )


def draw(shape, rng):
    """Return a picture of a shape somewhere, of any size and rotation."""
    image = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(image)
    radius = rng.uniform(6, 14)
    x, y = (rng.uniform(radius, SIDE - radius) for _ in "xy")
    if shape == "circle":
        pen.circle((x, y), radius, fill=255)
    else:
        sides = 4 if shape == "square" else 3
        pen.regular_polygon((x, y, radius), sides, rng.uniform(0, 360), fill=255)
    return image


def to_tensor(image):
    """Return a picture as the network reads it: (1, SIDE, SIDE), from 0 to 1."""
    return torch.from_numpy(np.array(image, dtype=np.float32) / 255)[None]


def fit(epochs, pictures=2000, seed=0):
    """Yield the loss and the accuracy of each epoch; save the network at the end."""
    torch.set_num_threads(1)  # more would only wait for one another
    torch.manual_seed(seed)
    rng = random.Random(seed)
    labels = torch.arange(pictures) % len(SHAPES)
    images = torch.stack([to_tensor(draw(SHAPES[i], rng)) for i in labels])
    network = make_network()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.005)
    for _ in range(epochs):
        right = total_loss = 0
        for batch in torch.randperm(pictures).split(50):
            scores = network(images[batch])
            loss = cross_entropy(scores, labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += int((scores.argmax(1) == labels[batch]).sum())
            total_loss += loss.item() * len(batch)
        yield total_loss / pictures, right / pictures
    FILE.parent.mkdir(parents=True, exist_ok=True)
    new = FILE.with_name(f"{FILE.name}.{os.getpid()}")
    torch.save(network.state_dict(), new)
    os.replace(new, FILE)  # in one step, for the workers that read it


network = make_network().eval()
version = None


def load():
    """Load the weights, if the file has changed since the last time."""
    global version
    changed = FILE.stat().st_mtime_ns
    if version != changed:
        network.load_state_dict(torch.load(FILE, weights_only=True))
        version = changed


def warm():
    """Load the weights; the very first time, learn them."""
    if not FILE.exists():
        for _ in fit(epochs=15):
            pass
    load()


def read_picture(path):
    """Read a picture as white on black, even if it was drawn black on white."""
    try:
        with Image.open(path) as image:
            gray = ImageOps.autocontrast(ImageOps.exif_transpose(image).convert("L"))
    except (OSError, UnidentifiedImageError) as error:
        raise web.HTTPBadRequest(reason="this is not a picture") from error
    if gray.getpixel((0, 0)) > 127:
        gray = ImageOps.invert(gray)
    return ImageOps.pad(gray, (SIDE, SIDE))


def predict(
    picture: Annotated[
        UploadedFile,
        "A picture of one shape, filled, on a plain ground",
        {"title": "Picture", "media": "image/*"},
    ],
):
    """Tell a circle from a square and a triangle."""
    load()
    with torch.inference_mode():
        scores = network(to_tensor(read_picture(picture.filename))[None])
    probabilities = scores.softmax(1)[0].numpy()
    return {
        "label": SHAPES[probabilities.argmax()],
        "labels": SHAPES,
        "probabilities": probabilities,
    }


def train(
    epochs: Annotated[int, Range(1, 200), "Times that all pictures are learned"] = 15,
    pictures: Annotated[int, Range(100, 20000), "Pictures to draw"] = 2000,
    seed: Annotated[int, "Start of the random numbers"] = 0,
):
    """Learn from new pictures. The next prediction uses the result."""
    for epoch, (loss, accuracy) in enumerate(fit(epochs, pictures, seed), 1):
        print(f"epoch {epoch}: loss {loss:.4f}, {accuracy:.1%} right")
        progress.report(epoch, epochs, loss=loss, accuracy=accuracy)
    return {"loss": loss, "accuracy": accuracy}
