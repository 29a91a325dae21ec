"""Rows that ask what the held-out rows ask."""

from array import array

from core.dataset import usable
from core.doctor.base import Ask, Check, Seen
from core.doctor.sketches import Sketches
from core.findings import Survey
from core.recognise import open_rows


class Leakage(Check):
    """Questions that stand, word by word or nearly so, in the file that will be measured on."""

    code = "leakage"
    title = "Questions of the held-out file"
    what = "ask what the held-out file asks, word by word or nearly so"
    why = "A score on questions that were trained measures memory, not skill."
    fix = "Leaves them out of this file."
    drops = True

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._sketches = Sketches()
        if ask.heldout is not None:
            held = open_rows(ask.heldout, ask.heldout_format, ask.heldout_columns)
            for example, row in usable(held, Survey(held.columns, held.match.mapping)):
                self._sketches.add(-1, Seen(example.line, example.messages, row).question)
        self._held = len(self._sketches.numbers)

    def look(self, seen: Seen) -> None:
        """Sketch the question."""
        if self._held:
            self._sketches.add(seen.line, seen.question)

    def conclude(self, survey: Survey) -> None:
        """Clusters that begin with a held-out question; those were added first."""
        if self._held:
            firsts = self._sketches.clusters()[self._held :].tolist()
            lines = self._sketches.numbers[self._held :]
            pairs = zip(lines, firsts, strict=True)
            self.lines = array("q", [line for line, first in pairs if first < self._held])
