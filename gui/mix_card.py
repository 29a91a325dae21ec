"""Further datasets of a run: mixed in for more skills, or replayed so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from PySide6.QtWidgets import QHBoxLayout, QWidget

from core.data_choices import Replay, Source
from core.numbers import percent
from core.plan import Plan
from core.recipe import Recipe
from gui.fields import Choice
from gui.files import ask_dataset
from gui.parts import Pile
from gui.session import Session
from gui.widgets import Card, PlainLabel, QuietButton, row

SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
_WHY = (
    "A model that learns only one thing forgets others. Mix in rows of what else it should learn, "
    "or replay general conversations: 5 to 10 % are usual."
)


class MixCard(Card):
    """One line per further dataset: how much of it is drawn, and a way to take it out."""

    def __init__(self, session: Session) -> None:
        super().__init__("More datasets")
        self.session = session
        self.lines = Pile()
        self.more = QuietButton("Mix in a dataset…", "plus")
        self.more.clicked.connect(lambda: ask_dataset(self, "Choose a dataset to mix in", self.mix))
        self.keep = QuietButton("Replay general data…", "rotate-ccw")
        self.keep.clicked.connect(
            lambda: ask_dataset(self, "Choose general conversations", self.replay)
        )
        self.add(PlainLabel(_WHY, "muted"), self.lines)
        self.body.addLayout(row(self.more, self.keep))

    def show_plan(self, recipe: Recipe, plan: Plan) -> None:
        """Draw what is mixed in, and how many rows that comes to."""
        data = recipe.data
        drawn = {source.where: source for source in plan.sources}
        told = {
            where: f"{drawn[where].drawn:,} of {drawn[where].rows:,} rows" if where in drawn else ""
            for where in data.further
        }
        self.keep.setVisible(not data.replay.path)
        self.lines.fill((data.further, told), lambda: list(self._lines(data.further, told)))

    def mix(self, path: str) -> None:
        """Draw rows of one more dataset."""
        mixed = [source.model_dump(mode="json") for source in self.session.recipe.data.mix]
        self.session.edit("data.mix", [*mixed, {"path": path}])

    def replay(self, path: str) -> None:
        """Draw rows of general data."""
        self.session.edit("data.replay", {"path": path})

    def _lines(self, further: dict[str, Source], told: dict[str, str]) -> Iterator[QWidget]:
        for where, source in further.items():
            yield self._line(where, source, told[where])

    def _line(self, where: str, source: Source, told: str) -> QWidget:
        name = Path(source.path).name
        what = "Replay" if isinstance(source, Replay) else "Mixed in"
        line = QWidget()
        across = QHBoxLayout(line)
        across.setContentsMargins(0, 0, 0, 0)
        across.addWidget(PlainLabel(f"{what}: {name}"), 1)
        across.addWidget(PlainLabel(told, "small"))
        across.addWidget(self._share(where, source, name))
        gone = QuietButton("Remove")
        gone.setAccessibleName(f"Remove {name}")
        gone.clicked.connect(lambda: self._remove(where))
        across.addWidget(gone)
        return line

    def _share(self, where: str, source: Source, name: str) -> Choice:
        shares = sorted({*SHARES, source.share})
        box = Choice()
        box.setAccessibleName(f"Share of {name}")
        for share in shares:
            box.addItem(f"{percent(share)} of all rows", share)
        box.setCurrentIndex(shares.index(source.share))
        box.setEnabled(source.rows is None)
        box.activated.connect(lambda index: self._set_share(where, box.itemData(index)))
        return box

    def _set_share(self, where: str, share: float) -> None:
        source = self.session.recipe.data.further[where]
        self._replace(where, source.model_copy(update={"share": share}))

    def _remove(self, where: str) -> None:
        self._replace(where, None)

    def _replace(self, where: str, source: Source | None) -> None:
        data = self.session.recipe.data
        if where == "replay":
            self.session.edit("data.replay", source or Replay())
            return
        kept = {f"mix.{number}": each for number, each in enumerate(data.mix)} | {where: source}
        self.session.edit("data.mix", [s.model_dump(mode="json") for s in kept.values() if s])
