"""The strip below a page: what was saved, Back, and the one thing to do next."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QWidget

from gui import theme
from gui.text import tip
from gui.widgets import PlainLabel, PrimaryButton, QuietButton, Role

LONG = 40
"""Letters of a reason that still stand on one line."""


class Footer(QFrame):
    """Always in sight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("footer")
        self.setAccessibleName("Back and next")
        line = QHBoxLayout(self)
        line.setContentsMargins(28, 10, 28, 10)
        line.setSpacing(10)
        self._said = PlainLabel("", "small")
        self._why = PlainLabel("", "small")
        self._why.setMaximumWidth(280)
        self.back, self.forward = QuietButton("&Back"), PrimaryButton("&Next")
        self.queue = QuietButton("Add to &queue", "layers")
        line.addWidget(self._said, 1)
        line.addWidget(self._why)
        line.addWidget(self.back)
        line.addWidget(self.queue)
        self.queue.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        line.addWidget(self.forward)

    def say(self, text: str, role: Role = "small") -> None:
        """A short remark at the left."""
        self._said.set_role(role)
        self._said.setText(text)

    def said(self) -> str:
        """The remark shown now."""
        return self._said.text()

    def show_queue(self, why_not: str | None) -> None:
        """Offer to let the recipe wait, grey for a reason; None: not here."""
        self.queue.setVisible(why_not is not None)
        self.queue.setEnabled(not why_not)
        self.queue.setToolTip(tip(why_not or ""))
        self.queue.setAccessibleDescription(why_not or "")

    def show_forward(self, words: str, picture: str, why_not: str = "") -> None:
        """What the primary button does; `why_not` greys it and says the reason beside it."""
        self.forward.setText(f"&{words}")
        self.forward.setEnabled(not why_not)
        self.forward.setToolTip(tip(why_not))
        self.forward.setAccessibleDescription(why_not)
        theme.set_icon(self.forward, picture, "muted" if why_not else "on_accent", 16)
        ahead = picture == "arrow-right"
        direction = Qt.LayoutDirection.RightToLeft if ahead else Qt.LayoutDirection.LeftToRight
        self.forward.setLayoutDirection(direction)
        self._why.setWordWrap(len(why_not) > LONG)
        self._why.setText(why_not)
        self._why.setVisible(bool(why_not))
