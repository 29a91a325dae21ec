"""Models from the Hub: searched and downloaded by a process of its own, never by the window."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QWidget,
)

from core import hub
from core.errors import CoreError
from core.models import is_hub_id
from core.numbers import show_count
from gui.background import Task
from gui.download import Download
from gui.offline import OfflineNotice, switch
from gui.text import plain, tip
from gui.widgets import Card, PlainLabel, QuietButton, row


class HubCard(Card):
    """Search, choose, download, cancel."""

    downloaded = Signal(str)
    """A model is complete on this computer: its Hub id."""
    known = Signal(str)
    """The shape of a model is known: its Hub id."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("From the Hugging Face Hub", parent)
        self._search: Task | None = None
        self.add(
            PlainLabel(
                "Type a name to search, or a full id such as owner/name. Choose an instruct or "
                "chat variant: it brings the chat template that training needs.",
                "muted",
            )
        )
        self.away = OfflineNotice("Searching and downloading")
        self.add(self.away)
        self.body.addLayout(self._line())
        self.results = QListWidget()
        self.results.setAccessibleName("Models found")
        self.results.setMinimumHeight(190)
        self.results.currentItemChanged.connect(lambda *_: self._update())
        self.results.itemActivated.connect(lambda _: self.download())
        self.results.hide()
        self.fetching = Download()
        self.fetching.complete.connect(self.downloaded)
        self.fetching.moved.connect(self._update)
        self.add(self.results, self.fetching)
        self.get = QuietButton("Download", "download")
        self.get.clicked.connect(self.download)
        self.plan = QuietButton("Plan without downloading", "memory-stick")
        self.plan.clicked.connect(self.read_shape)
        self.body.addLayout(row(self.get, self.plan))
        switch().changed.connect(self._update)
        self._update()

    def _line(self) -> QHBoxLayout:
        line = QHBoxLayout()
        self.text = QLineEdit()
        self.text.setPlaceholderText("for instance Qwen3 0.6B, or owner/name")
        self.text.setAccessibleName("Model name or id")
        self.text.textChanged.connect(lambda _: self._update())
        self.text.returnPressed.connect(self.search)
        self.look = QuietButton("Search", "search")
        self.look.clicked.connect(self.search)
        line.addWidget(self.text, 1)
        line.addWidget(self.look)
        return line

    def chosen(self) -> str:
        """The id to download: the marked result, else the typed id; "" for neither."""
        item = self.results.currentItem()
        if item is not None:
            return str(item.data(Qt.ItemDataRole.UserRole))
        typed = self.text.text().strip()
        return typed if is_hub_id(typed) else ""

    def search(self) -> None:
        """Ask the Hub; the answer comes later."""
        text = self.text.text().strip()
        if not text or self.away.active:
            return
        if self._search is not None:
            self._search.forget()
        self.fetching.say("Asking the Hub …")
        self._search = Task(self, lambda: hub.search(text))
        self._search.then(self._show_found).failed(self._failed).start()

    def _show_found(self, found: list[hub.Found]) -> None:
        self._search = None
        self.results.clear()
        for model in found:
            item = QListWidgetItem(plain(describe(model), 300))
            item.setData(Qt.ItemDataRole.UserRole, model.model_id)
            item.setToolTip(tip(describe(model)))
            self.results.addItem(item)
        self.results.setVisible(bool(found))
        self.fetching.say("" if found else "The Hub knows no text model by that name.")
        self._update()

    def read_shape(self) -> None:
        """Ask for what a plan needs: some kilobytes."""
        model_id = self.chosen()
        if not model_id or self.away.active:
            return
        self.fetching.say(f"Reading the shape of {model_id} …")
        task = Task(self, lambda: hub.shape(model_id))
        task.then(lambda _: self._shape_known(model_id)).failed(self._failed).start()

    def _shape_known(self, model_id: str) -> None:
        self.fetching.say("")
        self.known.emit(model_id)

    def download(self) -> None:
        """Fetch the chosen model; what was fetched before is kept."""
        model_id = self.chosen()
        if model_id and not self.fetching.busy and not self.away.active:
            self.fetching.begin(hub.fetch(model_id))

    def _failed(self, error: CoreError) -> None:
        self._search = None
        self.fetching.failed(error)

    def _update(self) -> None:
        online = not self.away.active
        self.get.setEnabled(online and bool(self.chosen()) and not self.fetching.busy)
        self.plan.setEnabled(online and bool(self.chosen()))
        chosen = self.chosen()
        why = "" if chosen else "Choose a result, or type a full id such as owner/name."
        self.get.setToolTip(tip(why))
        self.get.setAccessibleDescription(why)
        self.get.setText(f"Download {chosen}" if chosen else "Download")
        self.look.setEnabled(online and bool(self.text.text().strip()))


def describe(model: hub.Found) -> str:
    """One line of the results."""
    parts = [model.model_id]
    if model.parameters:
        parts.append(f"{show_count(model.parameters)} parameters")
    parts.append(f"{show_count(model.downloads)} downloads")
    if model.licence:
        parts.append(f"licence {model.licence}")
    if model.gated:
        parts.append("gated: accept its licence on the Hub first")
    return "  ·  ".join(parts)
