"""Rows that a model wrote."""

from __future__ import annotations

from core.doctor.base import Ask, Check, Seen
from core.findings import DataFinding

COLUMN, MARK = "source", "synthetic"
"""How a row says that a model wrote it."""
MUCH = 0.5
"""Share of the rows from which on it is a warning."""


class Synthetic(Check):
    """Rows marked as written by a model; a note while they are the smaller part."""

    code = "synthetic"
    title = "Rows written by a model"
    what = "are marked as written by a model"
    why = (
        "Models that learn mostly from what models wrote lose rare cases and grow alike, more so "
        "with every generation (Shumailov et al. 2024, Nature 631, 755–759). Keep rows of people "
        "in the larger part, and measure on these alone."
    )

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._rows = 0

    def look(self, seen: Seen) -> None:
        """Read the mark."""
        self._rows += 1
        if seen.row.get(COLUMN) == MARK:
            self.note(seen.line)

    def finding(self, text: str) -> DataFinding:
        """How grave it is depends on their share."""
        share = len(self.lines) / self._rows
        found = super().finding(f"{text}, {share:.0%} of all")
        return found if share >= MUCH else found.model_copy(update={"severity": "note"})
