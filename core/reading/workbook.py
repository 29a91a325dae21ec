"""Rows of an Excel workbook: its first sheet, read row by row."""

from __future__ import annotations

import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import DataError
from core.reading.base import WHOLE_LIMIT, BadLine, Line, Read, damaged

MAX_RATIO = 500
"""Unpacked bytes per packed one; real sheets have about ten, bombs a thousand."""


def read_workbook(path: Path) -> Read:
    """The rows under the first sheet's header; cells are text, as in a CSV export."""
    try:
        _refuse_bombs(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and charts that no dataset needs
            yield from _sheet(path)
    except DataError:
        raise
    except Exception as error:  # the boundary of a parser that fails in any way
        raise damaged(path, "an Excel workbook", error) from error


def _refuse_bombs(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed, whole = path.stat().st_size, sum(entry.file_size for entry in entries)
    if whole > WHOLE_LIMIT or whole > MAX_RATIO * max(packed, 10_000):
        raise DataError(
            f"{path} unpacks to {whole:,} bytes, which no sheet of texts needs.",
            hint="Save the sheet as CSV and choose that file.",
        )


def _sheet(path: Path) -> Read:
    import openpyxl

    book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
    try:
        rows = enumerate(book.worksheets[0].iter_rows(values_only=True), start=1)
        header: list[str] = []
        for number, cells in rows:
            if all(cell is None for cell in cells):
                continue
            if header:
                yield _row(number, header, cells)
            else:
                header = _header(path, number, cells)
    finally:
        book.close()


def _header(path: Path, number: int, cells: Sequence[Any]) -> list[str]:
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    wrong = next((n for n in names if not n or names.count(n) > 1), None)
    if wrong is not None:
        what = f"the column {wrong!r} is there twice" if wrong else "a column has no name"
        raise DataError(
            f"{path}, row {number}: {what}.",
            hint="Give every column a name of its own in the first row of the sheet.",
        )
    return names


def _row(number: int, header: list[str], cells: Sequence[Any]) -> Line | BadLine:
    more = [cell for cell in cells[len(header) :] if cell is not None]
    if more:
        return BadLine(number, len(header) + 1, "a cell stands beside the named columns")
    padded = (*cells, *(None for _ in header))
    return Line(number, {name: _text(cell) for name, cell in zip(header, padded, strict=False)})


def _text(cell: Any) -> Any:
    """A cell as it would be saved in CSV; true and false stay what they are."""
    if isinstance(cell, bool):
        return cell
    return "" if cell is None else str(cell)
