"""What a dataset format is: which columns play which part, and how a row becomes messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

Row = Mapping[str, Any]
Message = dict[str, Any]
SHAPE = "wrong_shape"
"""Code of a row that is built differently from what its format asks for."""


_SURROGATE = re.compile("[\ud800-\udfff]")


class RowError(Exception):
    """A row that cannot be used: a code to count by, and the reason in plain words."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Part(NamedTuple):
    """A part that a column plays, and the names columns usually have for it."""

    name: str
    aliases: tuple[str, ...] = ()
    required: bool = True


class Match(NamedTuple):
    """How well a format fits, from 0 to 1, why, and which column plays which part."""

    confidence: float
    reason: str
    mapping: dict[str, str]


class Format:
    """A kind of dataset. One file and one entry in FORMATS add another."""

    name: ClassVar[str]
    title: ClassVar[str]
    parts: ClassVar[tuple[Part, ...]]
    example: ClassVar[dict[str, Any]]
    """A small good row, for hints and documentation."""

    def read(self, row: Row, mapping: Mapping[str, str]) -> list[Message]:
        """The row as a conversation. Raises RowError."""
        raise NotImplementedError

    def rejected(self, row: Row, mapping: Mapping[str, str]) -> list[Message] | None:
        """The same with the worse answer, of a row that can be read; None where there is none."""
        return None

    def good(self, row: Row, mapping: Mapping[str, str]) -> bool | None:
        """Whether the answer of a row that can be read is good; None where nobody said."""
        return None

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the parts that must be there."""
        return tuple(part.name for part in self.parts if part.required)

    def map_columns(
        self, columns: Iterable[str], chosen: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Which column plays which part: the user's choice first, then the usual names."""
        by_name = {column.strip().lower(): column for column in reversed(list(columns))}
        mapping = dict(chosen or {})
        for part in self.parts:
            free = [n for n in (part.name, *part.aliases) if by_name.get(n) not in mapping.values()]
            found = next((by_name[name] for name in free if name in by_name), None)
            if part.name not in mapping and found is not None:
                mapping[part.name] = found
        return mapping

    def match(
        self, rows: Sequence[Row], columns: Iterable[str], chosen: Mapping[str, str] | None = None
    ) -> Match | None:
        """Try this format on some rows; None when a part has no column or no row is built so."""
        mapping = self.map_columns(columns, chosen)
        known = {part.name for part in self.parts}
        if not set(self.required) <= set(mapping) or not set(mapping) <= known:
            return None
        fitting = sum(self.fits(row, mapping) for row in rows)
        if not fitting:
            return None
        usual = all(part == column or part in (chosen or {}) for part, column in mapping.items())
        names = " and ".join(f"'{mapping[part]}'" for part in self.required)
        return Match(
            confidence=round(fitting / len(rows) * (1.0 if usual else 0.9), 3),
            reason=f"{fitting} of {len(rows)} rows looked at have {names} built like this",
            mapping=mapping,
        )

    def fits(self, row: Row, mapping: Mapping[str, str]) -> bool:
        """Whether a row is built like this format; faults in what it says do not matter here."""
        try:
            self.read(row, mapping)
        except RowError as error:
            return error.code != SHAPE
        return True


def text_of(row: Row, mapping: Mapping[str, str], part: str) -> str:
    """The text that plays a part; missing, null and everything that is not text is named."""
    column = mapping[part]
    if column not in row:
        raise RowError(SHAPE, f"the column '{column}' is missing")
    return as_text(row[column], f"'{column}'")


def optional_text(row: Row, mapping: Mapping[str, str], part: str) -> str:
    """The text of a part that may be absent or null; then it is empty."""
    column = mapping.get(part)
    if column is None or row.get(column) is None:
        return ""
    return as_text(row[column], f"'{column}'")


def as_text(value: object, what: str) -> str:
    """Text as it is. Numbers are not turned into text behind the user's back."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise RowError("broken_text", f"{what} holds half a character (a lone surrogate)")
        return value
    raise RowError("not_text", f"{what} is {kind_of(value)}, text was expected")


_KINDS = {bool: "true or false", int: "a number", float: "a number", dict: "an object",
          list: "a list", type(None): "null"}  # fmt: skip


def kind_of(value: object) -> str:
    """What a JSON value is, in plain words."""
    return "text" if isinstance(value, str) else _KINDS.get(type(value), type(value).__name__)
