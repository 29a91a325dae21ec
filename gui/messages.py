"""What the window says in a box, and the last net under an unexpected error."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import (
    QCoreApplication,
    QMessageLogContext,
    QObject,
    Qt,
    QtMsgType,
    Signal,
    qInstallMessageHandler,
)
from PySide6.QtWidgets import QAbstractButton, QMessageBox, QWidget

from core.errors import CoreError
from core.places import data_home
from core.redaction import redact
from core.visible import visible
from gui.text import plain

_LOG = logging.getLogger("tunesmith.window")


def tell(parent: QWidget | None, text: str, hint: str = "") -> QMessageBox:
    """Say something; returns at once."""
    box = _box(parent, text, hint)
    box.setStandardButtons(QMessageBox.StandardButton.Ok)
    box.open()
    return box


def tell_error(parent: QWidget | None, error: CoreError) -> QMessageBox:
    """Say what went wrong and what to do."""
    return tell(parent, str(error), error.hint)


def ask(
    parent: QWidget, text: str, hint: str, answers: Mapping[str, Callable[[], object]]
) -> QMessageBox:
    """Ask without blocking; the first answer is the default, the last one is Escape."""
    box = _box(parent, text, hint)
    buttons: dict[QAbstractButton, Callable[[], object]] = {}
    for number, (words, act) in enumerate(answers.items()):
        button = box.addButton(words, QMessageBox.ButtonRole.ActionRole)
        buttons[button] = act
        if number == 0:
            box.setDefaultButton(button)
        if number == len(answers) - 1:
            box.setEscapeButton(button)
    box.buttonClicked.connect(lambda button: buttons[button]())
    box.open()
    return box


def _box(parent: QWidget | None, text: str, hint: str) -> QMessageBox:
    box = QMessageBox(parent)
    box.setWindowTitle("Tunesmith")
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(plain(text))
    box.setInformativeText(plain(hint))
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, parent is not None)
    return box


class Net(QObject):
    """Catches what no one else did: logs the traceback, shows a sentence, keeps the window."""

    _caught = Signal(str, str)

    def __init__(self, log: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.log = log
        self._box: QMessageBox | None = None
        self._caught.connect(self._show)

    def install(self) -> None:
        """From now on, for slots, threads and Qt's own messages."""
        sys.excepthook = self.catch
        threading.excepthook = lambda args: self.catch(
            args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
        )
        qInstallMessageHandler(self._hear)
        app = QCoreApplication.instance()
        if app is not None:
            app.aboutToQuit.connect(self.remove)

    def remove(self) -> None:
        """Before Python is taken down: Qt must not call into what is gone by then."""
        qInstallMessageHandler(None)
        sys.excepthook = sys.__excepthook__
        threading.excepthook = threading.__excepthook__
        if self._box is not None:
            self._box.close()

    def catch(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """One uncaught exception."""
        if issubclass(kind, KeyboardInterrupt):
            sys.exit(130)
        self.write("".join(traceback.format_exception(kind, error, trace)))
        if isinstance(error, CoreError):
            self._caught.emit(str(error), error.hint)
        else:
            self._caught.emit(
                "Something unexpected happened. Your recipe and any training run are safe.",
                f"The details were written to {self.log}.",
            )

    def write(self, text: str) -> None:
        """Append to the window's log; a full disk must not make matters worse."""
        try:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("a", encoding="utf-8") as file:
                file.write(visible(redact(text.rstrip())) + "\n")
        except OSError as error:
            _LOG.warning("cannot write %s: %s", self.log, error)

    def _hear(self, kind: QtMsgType, context: QMessageLogContext, message: str) -> None:
        self.write(f"Qt {kind.name}: {message}")

    def _show(self, text: str, hint: str) -> None:
        """One box at a time: an error while painting would otherwise open hundreds."""
        if self._box is None or not self._box.isVisible():
            self._box = tell(None, text, hint)  # without a parent nobody else keeps it alive


def log_file() -> Path:
    """Where unexpected errors are written."""
    return data_home() / "window.log"
