"""What a check sees of a row, what it is asked, and how it says what it found."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from core.findings import DataFinding, Severity, Survey, say_of
from core.formats import Message


@dataclass(frozen=True)
class Ask:
    """What the user wants to know beyond the file itself."""

    columns: tuple[str, ...] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)
    category: str = ""
    """Column whose values should be balanced."""
    heldout: Path | None = None
    """Questions that will be measured on."""
    heldout_format: str = "auto"
    heldout_columns: Mapping[str, str] = field(default_factory=dict)
    benchmarks: tuple[Path, ...] = ()
    """Files whose texts must not be learned."""
    ngram: int = 13
    """Words in a row that make an overlap with a benchmark."""
    seed: int = 0
    """What chance depends on, where rows are drawn."""


@dataclass(frozen=True)
class Seen:
    """A usable row."""

    line: int
    messages: Sequence[Message]
    row: Mapping[str, Any]

    @cached_property
    def text(self) -> str:
        """All that is said."""
        return "\n".join(message["content"] for message in self.messages)

    @cached_property
    def question(self) -> str:
        """All that is said before the last answer; of a plain text, the text."""
        asked = self.messages[:-1] or self.messages
        return "\n".join(m["content"] for m in asked if m["role"] != "system")

    @property
    def answer(self) -> str:
        """The last answer."""
        return str(self.messages[-1]["content"])


class Check:
    """One thing that can be wrong with a dataset. One file and one entry in CHECKS add another."""

    code: ClassVar[str]
    title: ClassVar[str]
    """What it is called, in a few words."""
    severity: ClassVar[Severity] = "warning"
    what: ClassVar[str]
    """Goes on after "7 rows"."""
    why: ClassVar[str]
    """Why it matters, in a sentence or two."""
    fix: ClassVar[str] = ""
    """What `data fix` does about it; empty when only a person can decide."""
    drops: ClassVar[bool] = False
    """Whether the fix leaves the rows out."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.lines: Sequence[int] = array("q")
        self.partners: Sequence[int] = ()
        """For each of `lines` the earlier line it belongs to, where there is one."""

    def look(self, seen: Seen) -> None:
        """Take in one row."""
        raise NotImplementedError

    def note(self, line: int) -> None:
        """Remember a row at fault."""
        assert isinstance(self.lines, array)
        self.lines.append(line)

    def conclude(self, survey: Survey) -> None:
        """After the last row: what needs all of them to be known."""

    def findings(self) -> Iterator[DataFinding]:
        """What was found; nothing when all is well."""
        if len(self.lines):
            yield self.finding(say_of(self.lines, self.what))

    def finding(self, text: str) -> DataFinding:
        """A finding over the rows at fault."""
        return DataFinding.over(
            self.code, self.severity, self.lines, text, self.fix, self.why, title=self.title,
            partners=self.partners, mendable=bool(self.fix),
        )  # fmt: skip

    def mend(self, text: str, *, answer: bool) -> str:
        """The text as it should be; the fix of checks that change texts."""
        return text
