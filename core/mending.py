"""Mend a dataset: a new copy without what the checks found, and a record of every kind of change.

The original is only read. The copy is written row by row as .jsonl and appears when it is whole.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from core.checkup import BROKEN, Checkup, examine
from core.copies import home_for, refuse_changed, stem_of
from core.dataset import EACH, DataFacts, Heed, no_heed
from core.doctor import Ask, Check
from core.durable import digest
from core.errors import DataError
from core.findings import DROPPED
from core.formats import RowError
from core.jsonl import appearing, row_text, whole_text, write_record
from core.reading import Line, digest_of
from core.recognise import Opened, open_rows
from core.value import Value

SHOWN = 20
"""Examples of each kind of change that the record keeps."""
CLIPPED = 300
"""Characters of a text in an example."""
_ANSWERS = ("output", "completion", "answer", "chosen", "rejected", "answers")
"""Parts of a format that hold answers."""
_LISTS = ("messages", "conversations", "answers")
"""Parts that hold a list."""
_SAID = ("content", "value", "text", "parts")
"""Keys of a message that hold what is said."""
_SAYS = ("role", "from")

Edit = Callable[[str, bool], str]


class Example(Value):
    """A text before and after; without an after the row was left out."""

    line: int
    before: str
    after: str | None = None


class Change(Value):
    """Everything that was done for one finding."""

    code: str
    action: str
    """`left out` or `changed`."""
    count: int
    examples: tuple[Example, ...] = ()


class Record(Value):
    """What was made of what: sums of both files, rows, and the changes between them."""

    source: str
    source_digest: str
    copy_path: str
    copy_digest: str
    rows_before: int
    """Rows of the original, unusable ones included."""
    rows_after: int
    changes: tuple[Change, ...] = ()


def mend(
    path: Path,
    target: Path | None = None,
    *,
    codes: Sequence[str] = (),
    ask: Ask | None = None,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    unchanged: str = "",
    heed: Heed = no_heed,
) -> Record:
    """Write a mended copy and its record beside it; only findings of `codes` when given.

    Raises DataError when nothing can be mended or the file is no longer the one whose sum is
    `unchanged`, and never writes over a file.
    """
    found = examine(path, ask, format=format, columns=columns, pass_over=True, heed=heed)
    facts = found.facts
    refuse_changed(facts.path, unchanged or facts.digest, facts.digest)
    _refuse_unknown(found, codes)
    target = (target or next_copy(facts.path)).expanduser().absolute()
    _refuse_taken(target)
    plan = _Plan(found, codes)
    opened = open_rows(path, format, columns, pass_over=plan.broken)
    rows = _write(opened, plan, facts, target, heed)
    return _recorded(plan.record(facts, target, rows), target)


def next_copy(path: Path) -> Path:
    """The first free name of the form `name.fixed-1.jsonl` where copies of a dataset go."""
    home, stem = home_for(path), stem_of(path)
    tries = (home / f"{stem}.fixed-{number}.jsonl" for number in range(1, 10_000))
    return next(target for target in tries if not target.exists())


def withdraw(record: Record) -> None:
    """Delete a copy that is not wanted, and its record; a copy changed since then is kept."""
    target = Path(record.copy_path)
    if target.is_file() and digest(target) == record.copy_digest:
        target.unlink()
        record_of(target).unlink(missing_ok=True)


def record_of(target: Path) -> Path:
    """Where the record of a copy lies."""
    return target.with_suffix(".changes.json")


def _refuse_unknown(found: Checkup, codes: Sequence[str]) -> None:
    can = [finding.code for finding in found.findings if finding.mendable]
    unknown = [code for code in codes if code not in can]
    if not can or unknown:
        what = f"{unknown[0]} was not found or cannot be mended" if unknown else "nothing to mend"
        raise DataError(
            f"{found.facts.path}: {what}.",
            hint=f"What can be mended: {', '.join(can)}." if can else "The file can stay as it is.",
        )


def _refuse_taken(target: Path) -> None:
    if target.suffix.lower() != ".jsonl":
        raise DataError(f"{target} does not end in .jsonl.", hint="Copies are written as .jsonl.")
    for path in (target, record_of(target)):
        if path.exists():
            raise DataError(f"{path} exists already.", hint="Choose another name with -o.")


class _Plan:
    """What is to be done with each line, and the account of what was done."""

    def __init__(self, found: Checkup, codes: Sequence[str]) -> None:
        wanted = [c for c in found.checks if c.fix and (not codes or c.code in codes)]
        self._codes = codes
        self._dropping: dict[int, str] = {}
        for code in DROPPED:
            if self.does(code):
                self._dropping.update(dict.fromkeys(found.survey.repeated, code))
        for check in (check for check in wanted if check.drops):
            for line in check.lines:
                self._dropping.setdefault(line, check.code)
        self._mending = [(c, set(c.lines)) for c in wanted if not c.drops and len(c.lines)]
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], list[Example]] = {}

    def does(self, code: str) -> bool:
        """Whether this kind of finding is to be mended."""
        return not self._codes or code in self._codes

    def broken(self, line: object) -> None:
        """Account for a line that is no row; such lines cannot be copied."""
        self._account(BROKEN, "left out", getattr(line, "number", 0), str(line), None)

    def apply(self, line: Line, opened: Opened) -> dict[str, Any] | None:
        """The row as it goes into the copy, or None."""
        code = self._dropping.get(line.number) or self._unusable(line, opened)
        if code:
            self._account(code, "left out", line.number, row_text(line.row), None)
            return None
        row = line.row
        for check, lines in self._mending:
            if line.number in lines:
                row = self._edit(check, line.number, row, opened.match.mapping)
        return row

    def _unusable(self, line: Line, opened: Opened) -> str:
        try:
            opened.format.read(line.row, opened.match.mapping)
        except RowError as error:
            return error.code if self.does(error.code) else ""
        return ""

    def _edit(
        self, check: Check, line: int, row: dict[str, Any], mapping: Mapping[str, str]
    ) -> dict[str, Any]:
        edits: list[tuple[str, str]] = []

        def edit(text: str, answer: bool) -> str:
            mended = check.mend(text, answer=answer)
            if mended != text:
                edits.append((text, mended))
            return mended

        changed = edit_texts(row, mapping, edit)
        if edits:
            self._account(check.code, "changed", line, *edits[0])
        return changed

    def _account(self, code: str, action: str, line: int, before: str, after: str | None) -> None:
        key = (code, action)
        self._counts[key] += 1
        examples = self._examples.setdefault(key, [])
        if len(examples) < SHOWN:
            before, after = _around(before, after)
            examples.append(Example(line=line, before=before, after=after))

    def record(self, facts: DataFacts, target: Path, rows: tuple[int, int]) -> Record:
        """The account of a finished copy."""
        changes = [
            Change(code=code, action=action, count=count, examples=self._examples[code, action])
            for (code, action), count in self._counts.most_common()
        ]
        return Record(
            source=str(facts.path),
            source_digest=facts.digest,
            copy_path=str(target),
            copy_digest=digest(target),
            rows_before=rows[0],
            rows_after=rows[1],
            changes=tuple(changes),
        )


def _write(
    opened: Opened, plan: _Plan, facts: DataFacts, target: Path, heed: Heed
) -> tuple[int, int]:
    """The copy, unless the original changes under our hands."""
    seen = facts.rows + facts.unusable
    with appearing(target) as file:
        rows = _copy(opened, plan, file, lambda more: heed(seen + more))
        refuse_changed(facts.path, facts.digest, digest_of(facts.path))
    return rows


def _recorded(record: Record, target: Path) -> Record:
    """A copy without its record is withdrawn."""
    try:
        write_record(record_of(target), record.model_dump_json(indent=1) + "\n")
    except DataError:
        target.unlink(missing_ok=True)
        raise
    return record


def _copy(opened: Opened, plan: _Plan, file: TextIO, heed: Heed) -> tuple[int, int]:
    """Rows read and rows written."""
    read = written = 0
    for read, line in enumerate(opened.lines, start=1):
        if read % EACH == 0:
            heed(read)
        row = plan.apply(line, opened)
        if row is not None:
            written += 1
            file.write(row_text(row) + "\n")
    return read, written


def edit_texts(row: Mapping[str, Any], mapping: Mapping[str, str], edit: Edit) -> dict[str, Any]:
    """The row with every text that is learned or read passed through `edit`, roles left alone."""
    parts = {column: part for part, column in mapping.items()}
    return {
        name: _edited(_unpacked(value, parts[name]), edit, parts[name] in _ANSWERS)
        if name in parts
        else value
        for name, value in row.items()
    }


def _unpacked(value: Any, part: str) -> Any:
    """The list that a cell of a table holds as text, as the formats read it."""
    if part in _LISTS and isinstance(value, str) and value.lstrip().startswith("["):
        return json.loads(value)
    return value


def _edited(value: Any, edit: Edit, answer: bool) -> Any:
    if isinstance(value, str):
        return edit(value, answer)
    if isinstance(value, list):
        return [_edited(item, edit, answer) for item in value]
    if isinstance(value, dict):
        speaker = next((value[key] for key in _SAYS if key in value), None)
        mine = answer if speaker is None else speaker in ("assistant", "gpt", "model", "bot")
        held = (*_SAID, "messages")
        return {k: _edited(v, edit, mine) if k in held else v for k, v in value.items()}
    return value


def _around(before: str, after: str | None) -> tuple[str, str | None]:
    """The place of a difference, with some letters round it."""
    before, after = whole_text(before), None if after is None else whole_text(after)
    if after is None:
        return clip(before), None
    start = first_difference(before, after) - CLIPPED // 4
    start = start if start > CLIPPED // 4 else 0
    return clip(before, start), clip(after, start)


def first_difference(one: str, other: str) -> int:
    """The first place where two texts differ."""
    letters = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in letters if a != b), min(len(one), len(other)))


def clip(text: str, start: int = 0, size: int = CLIPPED) -> str:
    """A part of a text, with signs where something is missing."""
    end = start + size
    return f"{'…' * bool(start)}{text[start:end]}{'…' * (end < len(text))}"
