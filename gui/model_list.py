"""Models that can answer: the recipe's own, and what runs have made."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QListWidget, QListWidgetItem

from core.answering import Sampling, Speaker, as_it_is, draws, result_of
from core.errors import CoreError
from core.rundir import RunDir
from gui.text import plain


class ModelList(QListWidget):
    """The recipe's model and every run's result; what is ticked will answer."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Models that answer")
        self.setFixedHeight(132)
        self._shown: tuple[str, ...] | None = None

    def offer(self, model: str, runs: list[RunDir], preferred: RunDir | None) -> None:
        """List them; what was ticked stays ticked, and a run that is new here is."""
        offered = (model, *(str(run.root) for run in runs))
        if offered == self._shown:
            return
        before, known = set(self.ticked()), self._shown or ()
        own = not known or known[0] in before
        self._shown = offered
        self.clear()
        self._add(f"{model}, as it is" if model else "No model is chosen", model, ticked=own)
        for run in runs:
            root = str(run.root)
            new = preferred is not None and run.root == preferred.root and root not in known
            self._add(run.root.name, root, ticked=root in before or new)

    def _add(self, words: str, key: str, *, ticked: bool) -> None:
        item = QListWidgetItem(plain(words), self)
        item.setData(Qt.ItemDataRole.UserRole, key)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)

    def ticked(self) -> list[str]:
        """Keys of what is ticked, as offered."""
        items = (self.item(place) for place in range(self.count()))
        return [
            item.data(Qt.ItemDataRole.UserRole)
            for item in items
            if item.checkState() == Qt.CheckState.Checked
        ]

    def speakers(self, sampling: Sampling) -> tuple[Speaker, ...]:
        """Who is to answer. Raises CoreError."""
        model, ticked = self._shown[0] if self._shown else "", list(filter(None, self.ticked()))
        if not ticked:
            raise CoreError("No model is ticked.", hint="Tick one or more models.")
        return draws(
            [
                as_it_is(key, sampling) if key == model else result_of(RunDir(Path(key)), sampling)
                for key in ticked
            ]
        )
