"""Rows of a finding as people read them: who says what, shortened to the place that matters."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from core.doctor import CHECKS, Ask, Check
from core.errors import DataError
from core.formats import RowError
from core.jsonl import row_text, whole_text
from core.mending import clip, first_difference
from core.places import expand
from core.reading import BadLine, Line, read_rows
from core.recognise import Opened, open_rows
from core.value import Value

LONGEST = 240
"""Characters of one message that are shown."""
BEFORE = 60
"""Of these, characters in front of the place that matters."""
_LOOKED_AT = 50
"""Lines among which the first rows are sought."""
MOST_CELLS = 40
"""Columns of a row that are shown."""
MOST = 6
"""Messages of a long conversation that are shown, its last ones."""


class Said(Value):
    """One message: who says what."""

    role: str
    text: str


class Excerpt(Value):
    """A row, shortened."""

    line: int
    said: tuple[Said, ...]

    @property
    def text(self) -> str:
        """All of it, a line for each message."""
        return "\n".join(f"{said.role}: {said.text}" for said in self.said)


def excerpts(
    path: Path,
    lines: Collection[int],
    code: str = "",
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
) -> dict[int, Excerpt]:
    """These lines of a file, as far as it has them. Raises DataError."""
    bad: list[BadLine] = []
    opened = open_rows(path, format, columns, pass_over=bad.append)
    check = next((check(Ask()) for check in CHECKS if check.code == code), None)
    last = max(lines, default=0)
    reached = itertools.takewhile(lambda line: line.number <= last, opened.lines)
    found = [Excerpt(line=n.number, said=_said(n, opened, check)) for n in reached
             if n.number in lines]  # fmt: skip
    found += [
        Excerpt(line=b.number, said=(Said(role="broken", text=str(b)),))
        for b in bad
        if b.number in lines
    ]
    return {excerpt.line: excerpt for excerpt in found}


class Specimen(Value):
    """A row as it stands in the file, and as it is read; the latter only by a known format."""

    raw: Excerpt
    read: Excerpt | None = None


def specimens(
    path: Path,
    count: int = 5,
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
) -> tuple[Specimen, ...]:
    """The first rows of a file. Raises DataError only when it has no readable row."""
    head = itertools.islice(read_rows(expand(path).expanduser()), _LOOKED_AT)
    rows = [line for line in head if isinstance(line, Line)][:count]
    try:
        opened = open_rows(path, format, columns, pass_over=lambda _: None)
    except DataError:
        opened = None
    return tuple(
        Specimen(
            raw=Excerpt(line=line.number, said=tuple(_cells(line.row))),
            read=opened and Excerpt(line=line.number, said=_said(line, opened, None)),
        )
        for line in rows
    )


def _cells(row: Mapping[str, Any]) -> Iterator[Said]:
    for name, value in itertools.islice(row.items(), MOST_CELLS):
        text = value if isinstance(value, str) else row_text({"": value})[5:-1]
        yield Said(role=name[:LONGEST], text=clip(whole_text(text), 0, LONGEST))
    if len(row) > MOST_CELLS:
        yield Said(role="...", text=f"{len(row) - MOST_CELLS:,} more columns")


def _said(line: Line, opened: Opened, check: Check | None) -> tuple[Said, ...]:
    try:
        messages = opened.format.read(line.row, opened.match.mapping)
    except RowError as error:
        row = clip(whole_text(row_text(line.row)), 0, LONGEST)
        return Said(role="cannot be used", text=error.reason), Said(role="row", text=row)
    left = len(messages) - MOST
    more = [Said(role="before", text=f"{left:,} more messages")] if left > 0 else []
    said = *more, *_messages(messages[-MOST:], check)
    rejected = opened.format.rejected(line.row, opened.match.mapping)
    if not rejected:
        return said
    chosen, worse = said[-1], next(_messages(rejected[-1:], check))
    return (
        *said[:-1],
        Said(role="chosen answer", text=chosen.text),
        Said(role="rejected answer", text=worse.text),
    )


def _messages(messages: list[dict[str, Any]], check: Check | None) -> Iterator[Said]:
    for message in messages:
        role, text = message["role"], whole_text(message["content"])
        start = _place(text, check, answer=role == "assistant")
        length = f" ({len(text):,} characters in all)" if len(text) > LONGEST else ""
        yield Said(role=role, text=f"{clip(text, start, LONGEST)}{length}")


def _place(text: str, check: Check | None, *, answer: bool) -> int:
    """Where a shortened text should begin so that what the check changes is in sight."""
    after = check.mend(text, answer=answer) if check else text
    place = 0 if after == text else first_difference(text, after)
    return place - BEFORE if place > LONGEST - BEFORE else 0
