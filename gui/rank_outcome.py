"""What a ranking came to: who was preferred, the file of preferences, and the way to a run."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QWidget

from core.errors import CoreError
from core.places import datasets_home
from core.ranking import LIKELY, Exported, Ranking, Standing, free_file
from gui import messages
from gui.parts import FactsTable
from gui.session import Session
from gui.widgets import Card, Notice, PlainLabel, PrimaryButton, QuietButton, row


class RankOutcome(Card):
    """Figures, export and training; told only once judging is over."""

    again = Signal()
    """Another ranking is wanted."""
    onward = Signal()
    """Judging is to go on."""
    taken_back = Signal()
    """The last judgement is to be undone."""
    trained = Signal()
    """The recipe now learns from the preferences."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__("Who was preferred", parent)
        self.session = session
        self.ranking: Ranking | None = None
        self.exported: Exported | None = None
        self.standings = FactsTable(label_width=330)
        self.bias, self.note = Notice(), PlainLabel("", "small")
        self.told, self.trouble = Notice("ok"), Notice("bad")
        self.path = PlainLabel("", "mono")
        self.path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.add(self.standings, self.bias, self.note)
        self._build_buttons()

    def _build_buttons(self) -> None:
        self.write = PrimaryButton("Write preference file", "save")
        self.onwards = QuietButton("Go on judging")
        self.undo = QuietButton("Take back the last", "rotate-ccw")
        self.fresh = QuietButton("New ranking", "plus")
        self.train = PrimaryButton("Train on it (DPO)", "play")
        self.folder = QuietButton("Open folder", "folder-open")
        self.write.clicked.connect(self._write)
        self.onwards.clicked.connect(self.onward)
        self.undo.clicked.connect(self.taken_back)
        self.fresh.clicked.connect(self.again)
        self.train.clicked.connect(self._train)
        self.folder.clicked.connect(self._open_folder)
        self.model = PlainLabel("", "small")
        self.add(self.told, self.path, self.model, self.trouble)
        self.body.addLayout(
            row(self.train, self.folder, self.write, self.onwards, self.undo, self.fresh)
        )

    def show_ranking(self, ranking: Ranking) -> None:
        """Draw the figures as they stand."""
        self.ranking, self.exported = ranking, None
        found = ranking.summary()
        self.standings.show_facts((each.name, _fared(each)) for each in found.standings)
        swayed = found.decided and found.first_chance < LIKELY
        self.bias.show_as("warn" if swayed else "note", found.bias)
        self.note.setText(ranking.head.note)
        self.note.setVisible(bool(ranking.head.note))
        self.onwards.setVisible(found.judged < found.pairs)
        self.trouble.hide()
        self._draw_file()

    def _draw_file(self) -> None:
        made = self.exported
        for part in (self.told, self.path, self.model, self.train, self.folder):
            part.setVisible(made is not None)
        self.write.setVisible(made is None)
        self.undo.setVisible(made is None)
        if made is not None:
            self.told.show_as("warn" if made.cut else "ok", made.text)
            self.path.setText(made.path)
            self.model.setText(
                f"Training begins from the recipe's model, {self.session.recipe.model}."
            )

    def _write(self) -> None:
        assert self.ranking is not None
        target = free_file(datasets_home(), self.ranking.file.stem, ".preferences.jsonl")
        try:
            self.exported = self.ranking.export(target)
        except CoreError as error:
            self.trouble.show_as("bad", f"{error} {error.hint}".strip())
            self.trouble.show()
            return
        self.trouble.hide()
        self._draw_file()
        self.train.setFocus()

    def _train(self) -> None:
        """One step for undo: the data and what is learned from them belong together."""
        assert self.exported is not None
        recipe = self.session.recipe
        data = recipe.data.model_copy(
            update={"path": self.exported.path, "heldout": "", "format": "auto", "columns": {}}
        )
        changed = recipe.edit("data", data)
        if recipe.objective.kind != "dpo":
            changed = changed.edit("objective", {"kind": "dpo"})
        self.session.replace(changed)
        self.trained.emit()

    def _open_folder(self) -> None:
        assert self.exported is not None
        folder = Path(self.exported.path).parent
        if not QDesktopServices.openUrl(QUrl.fromLocalFile(str(folder))):
            messages.tell(self, "The folder cannot be opened here.", f"It is {folder}.")


def _fared(standing: Standing) -> str:
    told = f"{standing.wins:,} won, {standing.losses:,} lost, ties {standing.ties:,}"
    if standing.wins == standing.losses:
        return told
    clear = standing.chance < LIKELY
    return f"{told}: {'more than chance explains' if clear else 'may be chance'}"
