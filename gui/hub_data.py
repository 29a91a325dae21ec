"""A dataset of the Hub: named, downloaded by a process of its own, then read like a file."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout

from core import hub
from core.errors import CoreError
from core.hub_spec import HUB, read_spec
from gui.download import Download
from gui.fields import LineEdit
from gui.offline import OfflineNotice, switch
from gui.session import Session
from gui.widgets import Card, PlainLabel, QuietButton

_HOW = (
    "Written owner/name; @revision, #split or #config/split may follow. Rows are data only: "
    "datasets that need a program of their own are refused."
)


class HubDataCard(Card):
    """One line, a button, and the download."""

    def __init__(self, session: Session) -> None:
        super().__init__("From the Hugging Face Hub")
        self.session = session
        self.name = LineEdit("Dataset on the Hub")
        self.name.setPlaceholderText("for instance owner/name#train")
        self.get = QuietButton("Download and use", "download")
        self.get.clicked.connect(self.download)
        self.fetching = Download()
        self.fetching.complete.connect(self.session.use_data)
        self.fetching.moved.connect(self._update)
        self.away = OfflineNotice("Downloading a dataset")
        switch().changed.connect(self._update)
        line = QHBoxLayout()
        line.addWidget(self.name, 1)
        line.addWidget(self.get)
        self.add(PlainLabel(_HOW, "muted"), self.away)
        self.body.addLayout(line)
        self.add(self.fetching)
        self._update()

    def _update(self) -> None:
        self.get.setDisabled(self.fetching.busy or self.away.active)

    def download(self) -> None:
        """Fetch what is named; what was fetched before is kept."""
        text = self.name.text().strip().removeprefix(HUB)
        if not text or self.fetching.busy:
            return
        try:
            spec = read_spec(HUB + text)
        except CoreError as error:
            self.fetching.failed(error)
            return
        assert spec is not None
        if not self.away.active:
            self.fetching.begin(hub.fetch_data(spec))
