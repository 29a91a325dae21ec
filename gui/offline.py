"""The switch that keeps everything on this computer, as the window shows it."""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QCoreApplication, QObject, Qt, Signal
from PySide6.QtWidgets import QWidget

from core import offline, reach
from core.errors import CoreError
from gui import theme
from gui.text import tip
from gui.widgets import Notice, QuietButton

_ON = "Nothing leaves this computer: no search, no download, no server that writes rows."
_OFF = "Models and datasets can be fetched when you ask for it. Training is always offline."


class Switch(QObject):
    """One for the application; whoever needs the network listens to it."""

    changed = Signal()
    """Offline instead of online, or the other way round."""
    refused = Signal(str)
    """The switch could not be set, or something in the window asked for the network."""

    def turn(self, on: bool) -> None:
        """Offline from now on, or online again; also for programs in terminals."""
        try:
            offline.switch(on)
        except CoreError as error:
            self.refused.emit(f"{error} {error.hint}")
        self.changed.emit()

    def close_window(self) -> None:
        """The window itself never uses the network, so in its process nothing may."""
        reach.guard(lambda: True, lambda attempt: self.refused.emit(f"Refused: {attempt}"))


@cache
def switch() -> Switch:
    """As old as the application."""
    return Switch(QCoreApplication.instance())


class OfflineButton(QuietButton):
    """Shows how the switch stands, and turns it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", "wifi", parent)
        self.setCheckable(True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.clicked.connect(switch().turn)
        switch().changed.connect(self.draw)
        self.draw()

    def draw(self) -> None:
        """Word, icon and tip for how it stands now."""
        on, forced = offline.wanted(), offline.forced()
        self.setChecked(on)
        self.setText("Offline" if on else "Online")
        theme.set_icon(self, "wifi-off" if on else "wifi", "warn" if on else "muted", 16)
        more = f" {offline.VARIABLE} decides." if forced else ""
        self.setEnabled(not forced)
        self.setToolTip(tip((_ON if on else _OFF) + more))
        self.setAccessibleName("Work offline")
        self.setAccessibleDescription((_ON if on else _OFF) + more)


class OfflineNotice(Notice):
    """Says why something is not possible; hidden while it may be."""

    def __init__(self, what: str, parent: QWidget | None = None, *, hub: bool = True) -> None:
        super().__init__(parent=parent)
        self._what, self._why = what, offline.hub_reason if hub else offline.reason
        self.pressed.connect(lambda: switch().turn(False))
        switch().changed.connect(self.look)
        self.look()

    @property
    def active(self) -> bool:
        """Whether the network is closed to this."""
        return bool(self._why())

    def look(self) -> None:
        """Show or hide it, as the switch stands."""
        why = self._why()
        if why:
            ours = why not in (offline.VARIABLE, offline.HUB_VARIABLE)
            hint = "" if ours else f" {offline.way_back(why)}"
            text = f"{offline.sentence(self._what, why)}{hint}"
            self.show_as("warn", text, "Go online" if ours else "")
        self.setVisible(bool(why))
