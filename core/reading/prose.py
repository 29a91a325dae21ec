"""Plain text and Markdown as rows of text, for learning to go on writing."""

from __future__ import annotations

from pathlib import Path

from core.reading.base import BadLine, Line, Read
from core.reading.text import numbered_lines

PIECE = 20_000
"""Characters after which a text is parted at the next blank line."""
HARD_PIECE = 200_000
"""Characters after which it is parted at any line."""


def read_prose(path: Path) -> Read:
    """The whole text, in pieces that end at a blank line when it is long."""
    piece: list[str] = []
    size, first = 0, 1
    for number, line in numbered_lines(path):
        if isinstance(line, BadLine):
            yield line
            continue
        blank = not line.strip()
        if (blank and size >= PIECE) or size >= HARD_PIECE:
            yield Line(first, {"text": "".join(piece).strip("\n")})
            piece, size = [], 0
        if blank and not piece:
            continue
        if not piece:
            first = number
        piece.append(line.replace("\r\n", "\n"))
        size += len(line)
    if piece:
        yield Line(first, {"text": "".join(piece).strip("\n")})
