"""A request as raw bytes, and the answer that it requires."""

import enum
import re
from dataclasses import dataclass


class Must(enum.Enum):
    """The answer that a request requires."""

    ANSWER = "whole and in HTTP: an answer, with JSON if it is an error"
    ANSWER_OR_CLOSE = "HTTP, but not whole: such an answer, or none"
    END = "no HTTP, perhaps: any answer, or none"


@dataclass(frozen=True)
class Request:
    """The bytes of a request, and the answer that it requires."""

    data: bytes
    must: Must = Must.ANSWER
    cut: int = 0
    """Bytes that are sent before a pause; 0 for all."""

    def __repr__(self) -> str:
        data = re.sub(
            r"(\\x..|[^\\])\1{99,}",
            lambda run: f"{run[1]}' + b'{run[1]}' * {_times(run)} + b'",
            repr(self.data),
        )
        cut = f"  # in two pieces, {self.cut} bytes first" if self.cut else ""
        return f"send({data}){cut}"


def _times(run):
    return len(run[0]) // len(run[1]) - 1
