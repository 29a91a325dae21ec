"""What reading a dataset yields, and how it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import DataError

LINE_LIMIT = 8_000_000
"""Characters of one line; longer ones are whole files that lost their line breaks."""
WHOLE_LIMIT = 1_000_000_000
"""Bytes of a file that must be read in one piece, unpacked."""


MOST_COLUMNS = 2_000
DEEPEST = 60
"""Levels of lists and objects in a cell; real ones have five."""


class Line(NamedTuple):
    """One row as it was written; `number` is its first line in the file."""

    number: int
    row: dict[str, Any]


class BadLine(NamedTuple):
    """A place in the file that is not a row; `file` names it when rows come from several."""

    number: int
    column: int
    reason: str
    file: str = ""

    def __str__(self) -> str:
        place = f"line {self.number}, column {self.column}: {self.reason}"
        return f"{self.file}, {place}" if self.file else place


Read = Iterator[Line | BadLine]


def row_or_bad(number: int, column: int, value: Any) -> Line | BadLine:
    """A row, unless the value is something else than an object."""
    if isinstance(value, dict):
        return Line(number, value)
    return BadLine(number, column, 'a row must be an object in braces, like {"prompt": "..."}')


def bounded(line: Line | BadLine) -> Line | BadLine:
    """The row, unless it is built to take whoever goes through it for ever."""
    if isinstance(line, BadLine):
        return line
    if len(line.row) > MOST_COLUMNS:
        return BadLine(line.number, 1, f"{len(line.row):,} columns; {MOST_COLUMNS:,} are the most")
    return BadLine(line.number, 1, "nested too deep") if _deep(line.row) else line


def _deep(row: dict[str, Any]) -> bool:
    level: list[Any] = [row]
    for _ in range(DEEPEST):
        inner = (held.values() if isinstance(held, dict) else held for held in level)
        level = [value for values in inner for value in values if isinstance(value, dict | list)]
        if not level:
            return False
    return True


def unreadable(path: Path, error: OSError) -> DataError:
    """The refusal of a file that the system does not hand out."""
    return DataError(
        f"{path} cannot be read: {error.strerror or error}.",
        hint="Check that the file is there and that you may read it.",
    )


def damaged(path: Path, what: str, error: object, place: str = "") -> DataError:
    """The refusal of a file whose container is broken."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DataError(
        f"{path} is {what} that is damaged or not complete{place}: {reason}.",
        hint="Download or export it again.",
    )
