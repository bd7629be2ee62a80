"""Returns a file whose copy fails or stops in its middle."""

import io
import tempfile
import time

from webargs import fields

MEGABYTE = bytes(1_000_000)


class Reader(io.RawIOBase):
    """Gives pieces, and then fails, or waits endlessly."""

    def __init__(self, how):
        self._left = 20
        self._how = how

    def readable(self):
        return True

    def read(self, size=-1):
        self._left -= 1
        if self._left == 10 and self._how == "raises":
            raise ValueError("half of it")
        if self._left == 10 and self._how == "waits":
            time.sleep(60)
        return MEGABYTE if self._left > 0 else b""


class Named(Reader):
    """A file in the temporary directory, which is read in its own way."""

    def __init__(self, how):
        super().__init__(how)
        with tempfile.NamedTemporaryFile(delete=False) as file:
            self.name = file.name


def get_predict_args():
    return {"how": fields.Str(), "named": fields.Bool(load_default=False)}


def predict(how, named):
    return (Named if named else Reader)(how)
