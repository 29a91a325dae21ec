"""Start the window."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QAbstractSpinBox, QApplication, QComboBox, QSlider

from core import courtesy
from core.machine import read_machine
from core.places import data_home
from gui import messages, settings, theme
from gui.collector import Collector
from gui.offline import switch
from gui.runner import Runner
from gui.session import Session
from gui.window import Window


@dataclass(frozen=True)
class Options:
    """What the command line asked for."""

    run: Path | None = None
    recipe: Path | None = None
    theme: theme.Choice | None = None


class WheelGuard(QObject):
    """The wheel scrolls the page; it must not turn a number the mouse happens to pass over."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Pass the wheel on to the page unless the field is being edited."""
        if event.type() == QEvent.Type.Wheel and isinstance(
            watched, QAbstractSpinBox | QComboBox | QSlider
        ):
            event.ignore()
            return not watched.hasFocus()
        return False


def make_application() -> QApplication:
    """The one QApplication, named as desktops want it."""
    app = QApplication.instance()
    if not isinstance(app, QApplication):
        app = QApplication(sys.argv[:1])
    app.setApplicationName("Tunesmith")
    app.setDesktopFileName("tunesmith")
    app.setWindowIcon(theme.icon("sparkles", "accent"))
    return app


def make_window(options: Options) -> Window:
    """The window with last time's recipe and looks."""
    looks = settings.load_looks()
    if options.theme:
        looks = looks.model_copy(update={"theme": options.theme})
    theme.wear(make_application(), looks.theme)
    home = data_home()
    home.mkdir(parents=True, exist_ok=True)
    session = Session(read_machine(home), settings.load_draft())
    window = Window(session, Runner(), looks)
    session.setParent(window)
    window.runner.setParent(window)
    if options.recipe:
        window.files.open_recipe(options.recipe)
    if options.run:
        window.runner.open(options.run)
    return window


def run(options: Options) -> int:
    """Show the window until it is closed."""
    app = make_application()
    Collector(app)
    net = messages.Net(messages.log_file(), app)
    net.install()
    switch().close_window()
    courtesy.ask_engines()
    guard = WheelGuard(app)
    app.installEventFilter(guard)
    window = make_window(options)
    window.show()
    return app.exec()
