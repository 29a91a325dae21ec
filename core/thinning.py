"""The steps of a run, kept few: a run of a week must not fill the memory of whoever watches it."""

from __future__ import annotations

from operator import attrgetter

from core.events import Step

MOST = 4_000
"""Steps kept at most, about 5 MB. All of them are in the run's events."""


def thinned(steps: list[Step], most: int) -> list[Step]:
    """The newer half as it is; of the older half a quarter of `most` at most.

    Every stretch of steps keeps those with the lowest and the highest loss, so a curve keeps its
    peaks and covers the whole run evenly.
    """
    half = len(steps) // 2
    stretches: dict[int, list[Step]] = {}
    first, width = steps[0].step, (steps[half].step - steps[0].step) / (most // 8)
    for step in steps[:half]:
        stretches.setdefault(int((step.step - first) / width), []).append(step)
    old = [kept for stretch in stretches.values() for kept in _peaks(stretch)]
    return old + steps[half:]


def _peaks(stretch: list[Step]) -> list[Step]:
    by_loss = attrgetter("loss")
    lowest, highest = min(stretch, key=by_loss), max(stretch, key=by_loss)
    if lowest is highest:
        return [lowest]
    return [lowest, highest] if lowest.step < highest.step else [highest, lowest]
