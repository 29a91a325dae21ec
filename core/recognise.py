"""A dataset opened: read strictly, its format recognised, its columns given their parts."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError, Problem
from core.formats import FORMATS, Format, Match, RowError
from core.hub_spec import located
from core.reading import BadLine, Line, read_rows

LOOKED_AT = 200
"""Rows that decide the format."""
LISTED = 1000
"""Broken lines named in one error; a file with more is not what it seems."""
NAMED = 5
"""Rows whose faults are named when no format fits."""


@dataclass(frozen=True)
class Opened:
    """A file whose format is known; `lines` starts again at the first row."""

    path: Path
    format: Format
    match: Match
    columns: tuple[str, ...]
    head: tuple[Line, ...]
    lines: Iterator[Line]


def open_rows(
    path: Path,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    *,
    pass_over: Callable[[BadLine], None] | None = None,
) -> Opened:
    """Recognise a file. Raises DataError, also for broken lines unless somebody takes them."""
    chosen = columns or {}
    path = located(path)
    lines = _good_lines(path, pass_over)
    head = tuple(itertools.islice(lines, LOOKED_AT))
    if not head:
        raise DataError(f"{path} holds no rows.", hint="Choose a file with rows in it.")
    named = tuple(dict.fromkeys(name for line in head for name in line.row))
    _refuse_unknown_columns(path, named, chosen)
    found, match = _recognise(path, format, named, head, chosen)
    return Opened(path, found, match, named, head, itertools.chain(head, lines))


def _good_lines(path: Path, pass_over: Callable[[BadLine], None] | None) -> Iterator[Line]:
    """Rows, as long as every line is one; all broken lines are named together."""
    rows = read_rows(path)
    for line in rows:
        if not isinstance(line, BadLine):
            yield line
        elif pass_over is None:
            raise _broken(path, line, rows)
        else:
            pass_over(line)


def _broken(path: Path, first: BadLine, rest: Iterable[Line | BadLine]) -> DataError:
    more = (line for line in rest if isinstance(line, BadLine))
    bad = [first, *itertools.islice(more, LISTED - 1)]
    others = f" {_more(len(bad) - 1)} broken." if len(bad) > 1 else ""
    return DataError(
        f"{path}: {first}.{others}",
        hint="Repair or remove these lines, then choose the file again.",
        problems=[Problem(level="blocker", where="data.path", text=str(line)) for line in bad],
    )


def _more(count: int) -> str:
    return "1 more line is" if count == 1 else f"{count:,} more lines are"


def _recognise(
    path: Path,
    wanted: str,
    columns: Sequence[str],
    head: Sequence[Line],
    chosen: Mapping[str, str],
) -> tuple[Format, Match]:
    """The format asked for, or the one that fits best; the first of equals."""
    formats = FORMATS if wanted == "auto" else (_named(wanted),)
    rows = [line.row for line in head]
    matches = [(f, m) for f in formats if (m := f.match(rows, columns, chosen))]
    if not matches:
        raise _nothing_fits(path, formats, columns, head, chosen)
    return max(matches, key=lambda entry: entry[1].confidence)


def alternatives(opened: Opened) -> dict[str, float]:
    """The other formats that fit the first rows by their usual columns, and how well."""
    rows = [line.row for line in opened.head]
    others = ((f.name, f.match(rows, opened.columns)) for f in FORMATS if f is not opened.format)
    return {name: match.confidence for name, match in others if match}


def _named(name: str) -> Format:
    known = {format.name: format for format in FORMATS}
    if name in known:
        return known[name]
    close = difflib.get_close_matches(name, known, n=1)
    more = f"did you mean {close[0]}?" if close else f"known: auto, {', '.join(known)}"
    raise DataError(f"There is no format {name!r}; {more}", hint="auto recognises the format.")


def _refuse_unknown_columns(path: Path, columns: Sequence[str], chosen: Mapping[str, str]) -> None:
    for part, column in chosen.items():
        if column not in columns:
            close = difflib.get_close_matches(column, columns, n=1)
            more = f"did you mean {close[0]!r}?" if close else f"there is {_quoted(columns)}"
            raise DataError(
                f"{path}: there is no column {column!r} for {part}; {more}",
                hint="Choose the columns again.",
            )


def _nothing_fits(
    path: Path,
    formats: Sequence[Format],
    columns: Sequence[str],
    head: Sequence[Line],
    chosen: Mapping[str, str],
) -> DataError:
    """Say which columns were found and which were expected, and point at the likely slip."""
    problems = _why_not(formats, columns, head, chosen)
    expected = "; ".join(f"{f.name}: {_quoted(f.required)}" for f in formats)
    reasons = f" First: {problems[0].text}." if problems else ""
    return DataError(
        f"{path}: the rows have the columns {_quoted(columns)}. Expected is {expected}."
        f"{_misspelt(formats, columns)}{reasons}",
        hint="Say which column plays which part, for instance "
        f"data.columns: {{prompt: {columns[0] if columns else 'question'}, answer: ...}}, or "
        "rename the columns.",
        problems=problems,
    )


def _why_not(
    formats: Sequence[Format],
    columns: Sequence[str],
    head: Sequence[Line],
    chosen: Mapping[str, str],
) -> list[Problem]:
    """What is wrong with the first rows, for the first format whose columns are all there."""
    for format in formats:
        mapping = format.map_columns(columns, chosen)
        if set(format.required) <= set(mapping):
            return [problem for line in head[:NAMED] if (problem := _fault(format, mapping, line))]
    return []


def _fault(format: Format, mapping: Mapping[str, str], line: Line) -> Problem | None:
    try:
        format.read(line.row, mapping)
    except RowError as error:
        text = f"line {line.number:,}: {error.reason}"
        return Problem(level="blocker", where="data.path", text=text)
    return None


def _misspelt(formats: Sequence[Format], columns: Sequence[str]) -> str:
    names = sorted({name for f in formats for p in f.parts for name in (p.name, *p.aliases)})
    for column in columns:
        close = difflib.get_close_matches(column.lower(), names, n=1, cutoff=0.75)
        if close and close[0] != column.lower():
            return f" Did you mean {close[0]!r} by {column!r}?"
    return ""


def _quoted(names: Iterable[str]) -> str:
    listed = [repr(name) for name in names]
    return ", ".join(listed[:12]) + (", ..." if len(listed) > 12 else "")
