"""A generator that streams: it writes on, word by word, as language models do.

It has learned which word follows which from the help texts of Python itself. Serve it
with:

    deepaas-run --model story=examples/story.py
"""

import random
import time
from collections import defaultdict
from itertools import pairwise
from typing import Annotated, Literal

from marshmallow.validate import Range


def warm():
    """Learn the words that follow each word."""
    from pydoc_data.topics import topics  # 700 kB of English text

    global followers
    followers = defaultdict(list)
    words = " ".join(topics.values()).split()
    for word, following in pairwise(words):
        followers[word].append(following)


def predict(
    prompt: Annotated[str, "The first words"] = "The object",
    words: Annotated[int, Range(1, 1000), "Words to write"] = 30,
    pause: Annotated[float, Range(0, 2), {"unit": "s", "advanced": True}] = 0.05,
    seed: Annotated[int, "Another seed tells another story"] = 0,
    accept: Literal[
        "application/x-ndjson", "text/event-stream", "text/plain"
    ] = "application/x-ndjson",
):
    """Continue a text, one word at a time."""
    rng = random.Random(seed)
    word = (prompt.split() or ["The"])[-1]
    for number in range(words):
        word = rng.choice(followers.get(word) or ["The"])
        time.sleep(pause)
        yield f"{word} " if accept == "text/plain" else {"n": number, "word": word}
