"""One long answer to many questions."""

from array import array

from core.doctor.base import Ask, Check, Seen
from core.findings import Survey

LONG = 60
"""Characters; shorter answers are labels, which repeat rightly."""
OFTEN = 5


class SameAnswers(Check):
    """Long answers that are given word by word to several questions."""

    code = "same_answers_often"
    title = "One answer to many questions"
    what = f"give the same long answer as at least {OFTEN - 1} other rows"
    why = "The model learns to say it whatever is asked. Write answers that fit their questions."

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._hashes, self._numbers = array("q"), array("q")

    def look(self, seen: Seen) -> None:
        """Remember a hash of the answer."""
        if len(seen.answer) >= LONG and len(seen.messages) > 1:
            self._hashes.append(hash(seen.answer))
            self._numbers.append(seen.line)

    def conclude(self, survey: Survey) -> None:
        """Rows whose hash is frequent; copies of whole rows are counted elsewhere."""
        import numpy as np

        copied = np.isin(np.array(self._numbers, np.int64), np.array(survey.repeated, np.int64))
        hashes, lines = np.array(self._hashes, np.int64), np.array(self._numbers, np.int64)
        hashes, lines = hashes[~copied], lines[~copied]
        _, places, counts = np.unique(hashes, return_inverse=True, return_counts=True)
        self.lines = array("q", lines[counts[places] >= OFTEN].tolist() if len(lines) else [])
