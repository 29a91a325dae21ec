"""How evenly the rows are spread over a category."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping

from core.doctor.base import Ask, Check, Seen
from core.findings import KEPT, DataFinding

USUAL = ("category", "class", "topic", "intent", "domain", "task", "kind", "label")
"""Columns that are taken for a category when they are there and nothing else uses them."""
MOST = 1000
"""Categories; a column with more is no category."""
EVEN = 0.75
"""Entropy, as a share of the largest possible, below which the spread is uneven."""
ENOUGH = 20


class Balance(Check):
    """The spread over a column, as the entropy of its values: 1 is even, 0 is one value only."""

    code = "imbalance"
    title = "Uneven categories"
    what = "are in the rarest category"
    why = "What is rare is learned badly. Add rows of the rare categories, or thin out the others."

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._column = ask.category or usual_category(ask.columns, ask.mapping)
        self._counts: dict[str, int] = {}
        self._first: dict[str, array[int]] = {}

    def look(self, seen: Seen) -> None:
        """Count the category."""
        value = seen.row.get(self._column) if self._column else None
        if value is None or isinstance(value, dict | list):
            return
        name = str(value)[:200]
        self._counts[name] = self._counts.get(name, 0) + 1
        first = self._first.setdefault(name, array("q"))
        if len(first) < KEPT:
            first.append(seen.line)
        if len(self._counts) > MOST:
            self._column, self._counts, self._first = "", {}, {}

    def findings(self) -> Iterator[DataFinding]:
        """A warning when it is uneven; the bare figure when the column was asked for."""
        total = sum(self._counts.values())
        if total < ENOUGH and not (self.ask.category and total):
            return
        ranked = sorted(self._counts.items(), key=lambda entry: -entry[1])
        entropy = _entropy(self._counts.values())
        (most, many), (least, few) = ranked[0], ranked[-1]
        text = (
            f"Column '{self._column}': {len(ranked):,} categories, entropy {entropy:.2f} of 1; "
            f"'{most}' has {many / total:.0%} of the rows, '{least}' {few / total:.1%}"
        )
        if entropy < EVEN:
            self.lines = self._first[least]
            yield self.finding(text).model_copy(update={"count": few})
        elif self.ask.category:
            yield DataFinding(
                code="balance", severity="note", title=self.title, count=total, text=f"{text}."
            )


def usual_category(columns: Iterable[str], mapping: Mapping[str, str]) -> str:
    """The column that is a category by its name and plays no other part; empty without one."""
    used = set(mapping.values())
    return next((c for c in columns if c.lower() in USUAL and c not in used), "")


def _entropy(counts: Iterable[int]) -> float:
    sizes = list(counts)
    if len(sizes) < 2:
        return 0.0
    total = sum(sizes)
    return -sum(n / total * math.log(n / total) for n in sizes) / math.log(len(sizes))
