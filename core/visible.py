"""Signs that steer a screen or cannot be seen, as signs that can be seen."""

from __future__ import annotations

import io
import re
from typing import TextIO

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
"""Control signs but line breaks and tabs, and marks that turn the reading direction."""


def visible(text: str) -> str:
    """The same text, of the same length, steering nothing."""
    return _STEERING.sub(lambda found: _picture(found[0]), text)


def _picture(sign: str) -> str:
    """Unicode has pictures of the oldest control signs."""
    code = ord(sign)
    if code < 0x20:
        return chr(0x2400 + code)
    return "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"


class VisibleStream(io.TextIOWrapper):
    """A log whose reader cannot be steered by what a stranger wrote into it."""

    def write(self, text: str) -> int:
        """Carriage returns stay: progress bars draw over themselves with them."""
        super().write("\r".join(map(visible, text.split("\r"))))
        return len(text)


def made_visible(stream: TextIO) -> TextIO:
    """The same stream, through which nothing is written that steers a screen."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    name, errors = stream.encoding, stream.errors
    stream.flush()
    return VisibleStream(stream.detach(), encoding=name, errors=errors, line_buffering=True)
