"""Rows of tables in text: comma, semicolon or tab between the cells, and a header line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.reading import base
from core.reading.base import BadLine, Line, Read
from core.reading.packed import kind_of
from core.reading.text import numbered_lines


def read_table(path: Path) -> Read:
    """Rows of a table with a header line."""
    csv.field_size_limit(base.LINE_LIMIT)
    bad: list[BadLine] = []
    reader = csv.reader(_good_lines(path, bad), delimiter=_delimiter(path), strict=True)
    header = _header(path, reader)
    before = reader.line_num
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield BadLine(before + 1, 1, f"not a valid row of a table: {error}")
            return
        yield from bad
        bad.clear()
        if cells is None:
            return
        if cells:
            yield _cells(before + 1, header, cells)
        before = reader.line_num


def _good_lines(path: Path, bad: list[BadLine]) -> Iterator[str]:
    """Lines for the table reader; a bad one is set aside and read as an empty line."""
    for _, line in numbered_lines(path):
        if isinstance(line, BadLine):
            bad.append(line)
            yield "\n"
        else:
            yield line


def _delimiter(path: Path) -> str:
    """Tabs in .tsv; in .csv whatever parts the header: comma, semicolon or tab."""
    if kind_of(path) == ".tsv":
        return "\t"
    _, first = next(numbered_lines(path), (1, ""))
    header = first if isinstance(first, str) else ""
    return max(",;\t", key=header.count)


def _header(path: Path, reader: Any) -> list[str]:
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error as error:
        raise DataError(
            f"{path}, line 1: not a valid header: {error}.",
            hint="Name every column in the first line, with the separator between the names.",
        ) from error
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(
            f"{path}, line 1: the column {twice[0]!r} is there twice.",
            hint="Give every column a name of its own in the first line.",
        )
    return header


def _cells(number: int, header: list[str], cells: list[str]) -> Line | BadLine:
    if len(cells) != len(header):
        reason = f"{len(cells)} cells, the header has {len(header)} columns"
        return BadLine(number, 1, f"{reason}; put cells that hold the separator in quotes")
    return Line(number, dict(zip(header, cells, strict=True)))
