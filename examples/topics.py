"""A text pipeline in the style of Hugging Face: which label fits a text best?

Its weights (safetensors) and its tokenizer (tokenizers) come with the package
wordllama, so nothing is downloaded. Serve it with:

    deepaas-run --model topics=examples/topics.py

A pipeline of transformers, such as `pipeline("zero-shot-classification")`, takes the
same place: make it in `warm`, and call it in `predict`.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import wordllama
from marshmallow import Schema, fields
from marshmallow.validate import Length
from wordllama import WordLlama


class Topics(Schema):
    """The labels, the best one first, with scores that add up to 1."""

    labels = fields.List(fields.Str(), required=True)
    scores = fields.List(fields.Float(), required=True)


schema = Topics


def warm():
    """Load weights and tokenizer from the installed package."""
    global model
    package = Path(wordllama.__file__).parent
    model = WordLlama.load(cache_dir=package, disable_download=True)


def predict(
    text: Annotated[str, Length(1, 20_000), {"widget": "textarea"}],
    labels: Annotated[list[str], Length(2, 100), "Labels to choose from"] = [  # noqa: B006
        "sports",
        "politics",
        "science",
        "cooking",
    ],
    sharpness: Annotated[float, "Larger values favour the best label"] = 10.0,
):
    """Sort labels by how well they fit a text."""
    vectors = model.embed([text, *labels], norm=True)
    weights = np.exp(sharpness * (vectors[1:] @ vectors[0]))
    scores = weights / weights.sum()
    order = scores.argsort()[::-1]
    return {"labels": [labels[i] for i in order], "scores": scores[order]}
