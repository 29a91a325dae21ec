"""Answers that are no JSON although most are."""

from core.doctor.base import Ask, Check, Seen
from core.findings import Survey, is_json

MOST = 0.8
ENOUGH = 10


class JsonAnswers(Check):
    """When most answers are JSON objects or lists, the others are mistakes."""

    code = "json_answers"
    title = "Broken JSON answers"
    what = "have an answer that is not valid JSON, as most others are"
    why = "A program that reads the model's answers fails on what is learned from these."
    fix = "Leaves them out."
    drops = True

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._rows = 0

    def look(self, seen: Seen) -> None:
        """Try to read the answer."""
        self._rows += 1
        if not is_json(seen.answer):
            self.note(seen.line)

    def conclude(self, survey: Survey) -> None:
        """Few failures are mistakes, many are another kind of data."""
        if self._rows < ENOUGH or len(self.lines) > (1 - MOST) * self._rows:
            self.lines = ()
