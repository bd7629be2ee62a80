"""Prints and logs in every way."""

import logging
import os
import sys

from webargs import fields


def get_predict_args():
    return {"word": fields.Str(required=True)}


def predict(word):
    print(f"printed {word}")
    print(f"on stderr {word}", file=sys.stderr)
    logging.getLogger("model").info("logged %s", word)
    os.write(1, f"written {word}\n".encode())
    sys.stdout.write(f"unfinished {word}")
    return word
