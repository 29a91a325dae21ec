"""A dataset: recognised, counted, and complained about by line number."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from core.errors import DataError, Problem
from core.findings import DataFinding, Survey
from core.formats import Message, RowError
from core.reading import digest_of
from core.recognise import Opened, alternatives, open_rows
from core.sizing import COVERED
from core.value import Value

__all__ = [
    "DataFacts",
    "DataFinding",
    "Example",
    "inspect_data",
    "overlap",
    "read_examples",
    "split",
    "stream_examples",
]

SAMPLE = 5
ELIDED = 2000
"""Characters of a cell that a sample shows."""


@dataclass(frozen=True, slots=True)
class Example:
    """One usable row as a conversation, and the line it came from."""

    line: int
    messages: list[Message]
    rejected: list[Message] | None = None
    """The same conversation with a worse last answer, of preferences."""
    source: str = ""
    """Name of the dataset, when it is not the first of a mix."""
    good: bool | None = None
    """Whether the answer is a good one, of answers marked good or bad."""


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
    alternatives: dict[str, float] = Field({})
    """Other formats that fit the first rows, and how well."""
    columns: tuple[str, ...] = ()
    mapping: dict[str, str] = Field({})
    problems: tuple[DataFinding, ...] = ()
    mean_chars: float = 0.0
    max_chars: int = 0
    long_chars: int = 0
    """Characters that 97 % of the usable rows do not exceed."""
    digest: str = ""
    """SHA-256 of the file, or of what a folder holds."""
    json_answers: bool = False
    """Whether nearly all answers are JSON objects or lists."""
    sample: tuple[dict[str, Any], ...] = ()
    """The first rows as they stand in the file, long texts shortened."""
    whole: bool = True
    """Whether every row was looked at; else these are figures of the first ones."""


Heed = Callable[[int], None]
"""Told how many rows were seen, now and then; what it raises ends the work."""
EACH = 256
"""Rows between two words on how far it is."""


def no_heed(_rows: int) -> None:
    """Nobody waits."""


def inspect_data(
    path: Path,
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    heed: Heed = no_heed,
) -> DataFacts:
    """Recognise a dataset and look at every row of it.

    Raises DataError when there is nothing to learn from; its `problems` name the lines.
    """
    opened = open_rows(Path(path), format, columns)
    survey = Survey(opened.columns, opened.match.mapping)
    for number, _ in enumerate(usable(opened, survey), 1):
        if number % EACH == 0:
            heed(number)
    return facts_of(opened, survey)


def glance(
    path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None
) -> DataFacts:
    """What the first rows say, at once and however long the file is. Raises DataError."""
    opened = open_rows(Path(path), format, columns)
    first = replace(opened, lines=iter(opened.head))
    survey = Survey(opened.columns, opened.match.mapping)
    for _ in usable(first, survey):
        pass
    return facts_of(opened, survey, whole=False)


def facts_of(opened: Opened, survey: Survey, *, whole: bool = True) -> DataFacts:
    """What is known after the last row. Raises DataError when no row could be used."""
    _refuse_unusable(opened, survey)
    return DataFacts(
        path=opened.path,
        rows=survey.rows,
        unusable=survey.unusable,
        format=opened.format.name,
        confidence=opened.match.confidence,
        reason=opened.match.reason,
        alternatives=alternatives(opened),
        columns=opened.columns,
        mapping=opened.match.mapping,
        problems=survey.findings(),
        mean_chars=survey.mean_chars,
        max_chars=survey.max_chars,
        long_chars=survey.chars_of(COVERED),
        digest=digest_of(opened.path) if whole else "",
        whole=whole,
        json_answers=survey.json_answers,
        sample=tuple(_shortened(line.row) for line in opened.head[:SAMPLE]),
    )


class Examples:
    """The usable rows of a dataset, one after the other; what was found is known at the end."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._survey = Survey(opened.columns, opened.match.mapping)

    def __iter__(self) -> Iterator[Example]:
        return (example for example, _ in usable(self._opened, self._survey))

    @property
    def rows(self) -> int:
        """Usable rows that have gone by."""
        return self._survey.rows

    def findings(self) -> tuple[DataFinding, ...]:
        """What was found, unusable rows included. Raises DataError when no row could be used."""
        _refuse_unusable(self._opened, self._survey)
        return self._survey.findings()


def stream_examples(
    path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None
) -> Examples:
    """The usable rows as conversations, to be gone through once. Raises DataError."""
    return Examples(open_rows(Path(path), format, columns))


def read_examples(
    path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None
) -> tuple[list[Example], tuple[DataFinding, ...]]:
    """The usable rows as conversations, and what was found, unusable rows included.

    Raises DataError as `inspect_data` does.
    """
    stream = stream_examples(path, format=format, columns=columns)
    return list(stream), stream.findings()


def usable(opened: Opened, survey: Survey) -> Iterator[tuple[Example, Mapping[str, Any]]]:
    """Rows that can be used, with their columns; the survey is told of all rows."""
    for line in opened.lines:
        try:
            messages = opened.format.read(line.row, opened.match.mapping)
        except RowError as error:
            survey.leave_out(line.number, error)
            continue
        rejected = opened.format.rejected(line.row, opened.match.mapping)
        survey.add(line.number, messages, line.row, rejected or ())
        good = opened.format.good(line.row, opened.match.mapping)
        yield Example(line.number, messages, rejected, good=good), line.row


def _refuse_unusable(opened: Opened, survey: Survey) -> None:
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
    examples: Sequence[Example], wanted: int, seed: int
) -> tuple[list[Example], list[Example]]:
    """Rows to train on and at most `wanted` held out, in file order, the same for the same seed.

    Rows with the same question stay on one side, so that no held-out question was trained.
    """
    groups: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        groups.setdefault(question_side(example.messages), []).append(index)
    kept: set[int] = set()
    for question in sorted(groups, key=lambda text: _lot(seed, text)):
        if len(kept) + len(groups[question]) <= wanted:
            kept.update(groups[question])
    train = [example for index, example in enumerate(examples) if index not in kept]
    return train, [examples[index] for index in sorted(kept)]


def _lot(seed: int, question: str) -> bytes:
    """Chance that depends on nothing but seed and question, on every computer alike."""
    return hashlib.sha256(f"{seed}:{question}".encode()).digest()
