"""The scores before and after training, beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from PySide6.QtWidgets import QGridLayout, QWidget

from core.events import Scored
from core.metrics import METRICS, Metric, show
from gui.parts import Pile
from gui.plots import figure
from gui.widgets import Card, PlainLabel

COLUMNS = 3


class Score(NamedTuple):
    """One figure: its name, the values, and what it means."""

    name: str
    values: str
    note: str


class ScoreCard(Card):
    """Every figure that was measured before training, and what became of it."""

    def __init__(self) -> None:
        super().__init__("Scores")
        self.pile = Pile()
        self.values: dict[str, PlainLabel] = {}
        self.add(self.pile)

    def show_scores(self, before: Scored | None, after: Scored | None) -> None:
        """Draw them; nothing is shown while nothing was measured."""
        self.setVisible(before is not None)
        found = tuple(scores(before, after)) if before else ()
        self.pile.fill(found, lambda: [self._grid(found)] if found else [])

    def _grid(self, found: tuple[Score, ...]) -> QWidget:
        holder = QWidget()
        grid = QGridLayout(holder)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(24)
        grid.setVerticalSpacing(2)
        self.values = {score.name: PlainLabel(score.values, "figure") for score in found}
        for place, score in enumerate(found):
            column, line = place % COLUMNS, 3 * (place // COLUMNS)
            grid.setColumnStretch(column, 1)
            self.values[score.name].setAccessibleName(score.name)
            labels = (PlainLabel(score.name, "small"), self.values[score.name])
            for down, label in enumerate((*labels, PlainLabel(score.note, "small"))):
                grid.addWidget(label, line + down, column)
        return holder


def scores(before: Scored, after: Scored | None) -> Iterator[Score]:
    """Every figure of both looks, in the order in which it is shown."""
    if before.loss is not None:
        yield Score(
            "Held-out loss, lower is better",
            _change(figure(before.loss), figure(after.loss) if after else None),
            "Mean over the held-out rows, in nats.",
        )
    if before.exact_match is not None:
        yield Score(
            "Answers exactly as expected",
            _change(_percent(before.exact_match), _percent(after.exact_match) if after else None),
            _counted(before, after),
        )
    if before.reward_accuracy is not None:
        later = _percent(after.reward_accuracy) if after else None
        yield Score(
            "Better answer preferred",
            _change(_percent(before.reward_accuracy), later),
            "Share of held-out pairs, compared with the model before training.",
        )
    yield from _metrics(before, after)


def _metrics(before: Scored, after: Scored | None) -> Iterator[Score]:
    reached = after.metrics if after else {}
    for metric in METRICS:
        if metric.name in before.metrics:
            way = f", {metric.better} is better" if metric.better else ""
            later = show(metric, reached[metric.name]) if metric.name in reached else None
            values = _change(show(metric, before.metrics[metric.name]), later)
            yield Score(f"{metric.title}{way}", values, _about(metric, before))


def _about(metric: Metric, scored: Scored) -> str:
    """What a figure means, and of how many answers a reward is the mean."""
    if metric.name == "reward" and scored.rewarded:
        return f"{metric.about.removesuffix('.')} to {scored.rewarded:,} held-out questions."
    return metric.about


def _change(before: str, after: str | None) -> str:
    return before if after is None else f"{before} → {after}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _counted(before: Scored, after: Scored | None) -> str:
    if not before.rows:
        return "No answers were asked for."
    right = sum(bool(a.correct) for a in (after or before).answers)
    when = "after" if after else "before"
    return f"{right:,} of {(after or before).rows:,} {when} training."
