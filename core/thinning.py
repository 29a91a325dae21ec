"""The steps of a run, kept few: a run of a week must not fill the memory of whoever watches it."""

from __future__ import annotations

from operator import attrgetter

from core.events import Step

MOST = 6_000
"""Steps kept at most, about 7 MB. All of them are in the run's events."""


def thinned(steps: list[Step], most: int) -> list[Step]:
    """The newest third as it is; of the older ones a sixth of `most` at most.

    Every stretch of steps keeps those with the lowest and the highest loss, so a curve keeps its
    peaks and covers the whole run evenly.
    """
    older = len(steps) * 2 // 3
    stretches: dict[int, list[Step]] = {}
    first, width = steps[0].step, (steps[older].step - steps[0].step) / (most // 12)
    for step in steps[:older]:
        stretches.setdefault(int((step.step - first) / width), []).append(step)
    old = [kept for stretch in stretches.values() for kept in _peaks(stretch)]
    return old + steps[older:]


def _peaks(stretch: list[Step]) -> list[Step]:
    by_loss = attrgetter("loss")
    lowest, highest = min(stretch, key=by_loss), max(stretch, key=by_loss)
    if lowest is highest:
        return [lowest]
    return [lowest, highest] if lowest.step < highest.step else [highest, lowest]
