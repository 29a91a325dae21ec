"""System messages that differ from row to row."""

from __future__ import annotations

from array import array
from collections import Counter

from core.doctor.base import Ask, Check, Seen
from core.findings import Survey

MOST = 0.8
ENOUGH = 20
KEPT = 10_000
"""Different texts that are told apart."""


class _Texts:
    """Texts as small numbers; beyond KEPT all further ones share the last."""

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self.found = array("l")

    def add(self, text: str) -> None:
        key = hash(text)
        if key not in self._numbers and len(self._numbers) < KEPT:
            self._numbers[key] = len(self._numbers)
        self.found.append(self._numbers.get(key, KEPT))


class SystemPrompts(Check):
    """Most rows have one system message, some another or none."""

    code = "system_prompts"
    title = "Different system messages"
    what = "have another system message than most, or none"
    why = (
        "In use the model gets one of them; what was learned under the others is harder to call "
        "up. Give all rows the same, or mean the difference."
    )

    def __init__(self, ask: Ask) -> None:
        super().__init__(ask)
        self._systems = _Texts()
        self._numbers = array("q")

    def look(self, seen: Seen) -> None:
        """Remember which system message it is."""
        self._systems.add(system_of(seen))
        self._numbers.append(seen.line)

    def conclude(self, survey: Survey) -> None:
        """Rows that deviate, when they are few."""
        counts = Counter(self._systems.found).most_common(2)
        if len(self._numbers) < ENOUGH or len(counts) < 2:
            return
        main, count = counts[0]
        if count >= MOST * len(self._numbers):
            pairs = zip(self._numbers, self._systems.found, strict=True)
            self.lines = array("q", [line for line, found in pairs if found != main])


def system_of(seen: Seen) -> str:
    """The system message; empty without one."""
    first = seen.messages[0]
    return str(first["content"]) if first["role"] == "system" else ""
