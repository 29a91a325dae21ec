"""Whether a running engine still speaks. It is never ended for being silent, only told about."""

from __future__ import annotations

import time
from collections.abc import Callable

from core.events import Event, Phase, PhaseName, Silent, Slept, Step

PATIENCE: dict[PhaseName, float] = {
    "measuring": 300.0, "importing": 120.0, "tokenising": 60.0, "loading": 300.0,
    "reference": 120.0, "scoring": 120.0, "training": 60.0, "saving": 120.0,
}  # fmt: skip
"""Seconds without a word that are usual; afterwards silence is told, and again when it doubles."""
SLOWER = 10.0
"""A step may take so many times the longest one so far, whatever the patience."""
GAP = 10.0
"""Seconds: a smaller difference between two clocks, or between two looks, is no sleep."""


def with_sleep() -> float:
    """Seconds of a clock that goes on while the computer sleeps."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.time() if boot is None else time.clock_gettime(boot)


class Pulse:
    """Asked several times a second. `awake` need not count while the computer sleeps."""

    def __init__(
        self,
        awake: Callable[[], float] = time.monotonic,
        always: Callable[[], float] = with_sleep,
    ) -> None:
        self._awake, self._always = awake, always
        self._heard = self._looked = awake()
        self._ahead = always() - self._looked
        self._phase: PhaseName = "importing"
        self._longest = 0.0
        self._told = 0.0

    def heard(self, event: Event) -> None:
        """Something was said."""
        now = self._awake()
        if isinstance(event, Step) and self._phase == "training":
            self._longest = max(self._longest, now - self._heard)
        if isinstance(event, Phase):
            self._phase = event.name
        self._heard, self._told = now, 0.0

    def look(self) -> Silent | Slept | None:
        """What there is to say of silence or sleep."""
        now, always = self._awake(), self._always()
        gap = max(always - now - self._ahead, now - self._looked)
        self._looked, self._ahead = now, always - now
        if gap > GAP:
            self._heard, self._told = now, 0.0
            return Slept(seconds=gap)
        silence, patience = now - self._heard, self._patience()
        if silence < max(patience, 2 * self._told):
            return None
        self._told = silence
        return Silent(phase=self._phase, seconds=silence)

    def _patience(self) -> float:
        slow = SLOWER * self._longest if self._phase == "training" else 0.0
        return max(PATIENCE[self._phase], slow)
