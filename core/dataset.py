"""A dataset: recognised, counted, and complained about by line number."""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from core.durable import digest
from core.errors import DataError, Problem
from core.findings import DataFinding, Survey
from core.formats import FORMATS, Format, Match, Message, RowError
from core.places import expand
from core.readers import BadLine, Line, read_rows
from core.value import Value

__all__ = [
    "DataFacts",
    "DataFinding",
    "Example",
    "inspect_data",
    "overlap",
    "read_examples",
    "split",
]

LOOKED_AT = 200
"""Rows that decide the format."""
LISTED = 1000
"""Broken lines named in one error; a file with more is not what it seems."""
SAMPLE = 5
ELIDED = 2000
"""Characters of a cell that a sample shows."""


@dataclass(frozen=True, slots=True)
class Example:
    """One usable row as a conversation, and the line it came from."""

    line: int
    messages: list[Message]


class DataFacts(Value):
    """What is known of a dataset after one pass over it."""

    path: Path
    rows: int
    """Rows that can be used."""
    unusable: int = 0
    """Rows that are left out; `problems` says why and where."""
    format: str
    confidence: float
    reason: str
    columns: tuple[str, ...] = ()
    mapping: dict[str, str] = Field({})
    problems: tuple[DataFinding, ...] = ()
    mean_chars: float = 0.0
    max_chars: int = 0
    digest: str = ""
    """SHA-256 of the file."""
    json_answers: bool = False
    """Whether nearly all answers are JSON objects or lists."""
    sample: tuple[dict[str, Any], ...] = ()
    """The first rows as they stand in the file, long texts shortened."""


@dataclass(frozen=True)
class _Opened:
    """A file whose format is known; `lines` starts again at the first row."""

    path: Path
    format: Format
    match: Match
    columns: tuple[str, ...]
    head: tuple[Line, ...]
    lines: Iterator[Line]


def inspect_data(
    path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None
) -> DataFacts:
    """Recognise a dataset and look at every row of it.

    Raises DataError when there is nothing to learn from; its `problems` name the lines.
    """
    opened = _open(Path(path), format, columns or {})
    survey = Survey(opened.columns, opened.match.mapping)
    for _ in _usable(opened, survey):
        pass
    _refuse_unusable(opened, survey)
    return DataFacts(
        path=opened.path,
        rows=survey.rows,
        unusable=survey.unusable,
        format=opened.format.name,
        confidence=opened.match.confidence,
        reason=opened.match.reason,
        columns=opened.columns,
        mapping=opened.match.mapping,
        problems=survey.findings(),
        mean_chars=survey.mean_chars,
        max_chars=survey.max_chars,
        digest=digest(opened.path),
        json_answers=survey.json_answers,
        sample=tuple(_shortened(line.row) for line in opened.head[:SAMPLE]),
    )


def read_examples(
    path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None
) -> tuple[list[Example], tuple[DataFinding, ...]]:
    """The usable rows as conversations, and what was found, unusable rows included.

    Raises DataError as `inspect_data` does.
    """
    opened = _open(Path(path), format, columns or {})
    survey = Survey(opened.columns, opened.match.mapping)
    examples = list(_usable(opened, survey))
    _refuse_unusable(opened, survey)
    return examples, survey.findings()


def _usable(opened: _Opened, survey: Survey) -> Iterator[Example]:
    for line in opened.lines:
        try:
            messages = opened.format.read(line.row, opened.match.mapping)
        except RowError as error:
            survey.leave_out(line.number, error)
            continue
        survey.add(line.number, messages, line.row)
        yield Example(line.number, messages)


def _open(path: Path, format: str, chosen: Mapping[str, str]) -> _Opened:
    path = expand(path).expanduser().absolute()
    lines = _good_lines(path)
    head = tuple(itertools.islice(lines, LOOKED_AT))
    if not head:
        raise DataError(f"{path} holds no rows.", hint="Choose a file with rows in it.")
    columns = tuple(dict.fromkeys(name for line in head for name in line.row))
    _refuse_unknown_columns(path, columns, chosen)
    found, match = _recognise(path, format, columns, head, chosen)
    return _Opened(path, found, match, columns, head, itertools.chain(head, lines))


def _good_lines(path: Path) -> Iterator[Line]:
    """Rows, as long as every line is one; all broken lines are named together."""
    rows = read_rows(path)
    for line in rows:
        if isinstance(line, BadLine):
            raise _broken(path, line, rows)
        yield line


def _broken(path: Path, first: BadLine, rest: Iterable[Line | BadLine]) -> DataError:
    more = (line for line in rest if isinstance(line, BadLine))
    bad = [first, *itertools.islice(more, LISTED - 1)]
    others = f" {len(bad) - 1:,} more lines are broken." if len(bad) > 1 else ""
    return DataError(
        f"{path}: {first}.{others}",
        hint="Repair or remove these lines, then choose the file again.",
        problems=[Problem(level="blocker", where="data.path", text=str(line)) for line in bad],
    )


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
            return [problem for line in head[:SAMPLE] if (problem := _fault(format, mapping, line))]
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


def _refuse_unusable(opened: _Opened, survey: Survey) -> None:
    if survey.rows:
        return
    findings = survey.findings()
    raise DataError(
        f"{opened.path}: none of the {survey.unusable:,} rows can be used. {findings[0].text}",
        hint=findings[0].fix,
        problems=[Problem(level="blocker", where="data.path", text=f.text) for f in findings],
    )


def _shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _short(value) for name, value in row.items()}


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= ELIDED else value[:ELIDED] + "…"
    if isinstance(value, list):
        return [_short(item) for item in value[:50]]
    if isinstance(value, dict):
        return _shortened(value)
    return value


def question_side(messages: Sequence[Message]) -> str:
    """What is asked: everything before the last answer, in one comparable text."""
    asked = messages[:-1] or messages
    return json.dumps([[m["role"], m["content"].strip()] for m in asked], ensure_ascii=False)


def overlap(train: Sequence[Example], heldout: Sequence[Example]) -> tuple[DataFinding, ...]:
    """Questions that are both trained and measured: then the measure is of memory, not of skill."""
    trained = {question_side(example.messages) for example in train}
    lines = [e.line for e in heldout if question_side(e.messages) in trained]
    if not lines:
        return ()
    text = f"{len(lines):,} of {len(heldout):,} held-out questions are also trained"
    return (
        DataFinding.over(
            "overlap",
            "warning",
            lines,
            text,
            "Remove them from one of the files; scores on them measure memory, not skill.",
        ),
    )


def split(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Rows to train on and rows held out, in file order; the same choice for the same seed.

    Rows with the same question stay on one side, so that no held-out question was trained.
    """
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(question_side(example.messages), []).append(index)
    wanted = round(len(examples) * share)
    kept: set[int] = set()
    for question in sorted(groups, key=lambda text: _lot(seed, text)):
        if len(kept) + len(groups[question]) <= wanted:
            kept.update(groups[question])
    train = [example for index, example in enumerate(examples) if index not in kept]
    return train, [examples[index] for index in sorted(kept)]


def _lot(seed: int, question: str) -> bytes:
    """Chance that depends on nothing but seed and question, on every computer alike."""
    return hashlib.sha256(f"{seed}:{question}".encode()).digest()
