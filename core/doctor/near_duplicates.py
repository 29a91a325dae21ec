"""Rows that nearly repeat an earlier one."""

from array import array

from core.doctor.base import Ask, Check, Seen
from core.doctor.sketches import Sketches
from core.findings import Survey


class NearDuplicates(Check):
    """Rows whose whole text is nearly that of an earlier row; copies are counted elsewhere."""

    code = "near_duplicates"
    title = "Near-duplicates"
    what = "nearly repeat an earlier row"
    why = (
        "They count several times and are learned by heart; split over training and measuring "
        "they make the score look better than it is."
    )
    fix = "Leaves them out; the first of each group stays."
    drops = True

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._sketches = Sketches()

    def look(self, seen: Seen) -> None:
        """Sketch the row."""
        self._sketches.add(seen.line, seen.text)

    def conclude(self, survey: Survey) -> None:
        """Form clusters."""
        copies = set(survey.repeated)
        numbers = self._sketches.numbers
        pairs = zip(numbers, self._sketches.clusters().tolist(), strict=True)
        found = [
            (line, numbers[first])
            for place, (line, first) in enumerate(pairs)
            if first != place and line not in copies
        ]
        self.lines = array("q", [line for line, _ in found])
        self.partners = array("q", [first for _, first in found])
