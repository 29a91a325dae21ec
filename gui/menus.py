"""The menu bar and the keys of the window."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QActionGroup, QKeySequence, QShortcut
from PySide6.QtWidgets import QMenu

from core import offline
from gui.offline import switch
from gui.pages import PAGES
from gui.theme import Choice

if TYPE_CHECKING:
    from gui.window import Window

_THEMES: tuple[tuple[Choice, str], ...] = (
    ("system", "&As the system"),
    ("light", "&Light"),
    ("dark", "&Dark"),
)


def build(window: Window) -> None:
    """Fill the menu bar; every command has a name, and the frequent ones a key."""
    _file(window, window.menuBar().addMenu("&File"))
    _edit(window, window.menuBar().addMenu("&Edit"))
    _view(window, window.menuBar().addMenu("&View"))
    _help(window, window.menuBar().addMenu("&Help"))
    _keys(window)


def _file(window: Window, menu: QMenu) -> None:
    _add(menu, "&New recipe", window.new_recipe, "Ctrl+N")
    _add(menu, "&Open recipe…", window.files.choose_recipe, "Ctrl+O")
    _add(menu, "&Save recipe as…", window.files.choose_target, "Ctrl+S")
    menu.addSeparator()
    _add(menu, "Open &run…", window.files.choose_run, "Ctrl+R")
    menu.addSeparator()
    _work_offline(menu)
    menu.addSeparator()
    _add(menu, "&Quit", window.close, "Ctrl+Q")


def _work_offline(menu: QMenu) -> None:
    action = menu.addAction("Work o&ffline")
    action.setCheckable(True)

    def draw() -> None:
        action.setChecked(offline.wanted())
        action.setEnabled(not offline.forced())

    menu.aboutToShow.connect(draw)
    action.triggered.connect(switch().turn)
    draw()


def _edit(window: Window, menu: QMenu) -> None:
    _add(menu, "&Undo", window.undo, "Ctrl+Z")
    redo = _add(menu, "&Redo", window.redo)
    redo.setShortcuts([QKeySequence("Ctrl+Y"), QKeySequence("Ctrl+Shift+Z")])


def _view(window: Window, menu: QMenu) -> None:
    group = QActionGroup(window)
    for choice, words in _THEMES:
        action = _add(menu, words, partial(window.wear, choice))
        action.setCheckable(True)
        action.setChecked(window.looks.theme == choice)
        action.setData(choice)
        group.addAction(action)
    window.theme_actions = group
    menu.addSeparator()
    _add(menu, "&Memory and problems", window.toggle_side, "F9")
    _add(menu, "&Next part of the window", window.frame.focus_next_part, "F6")


def _help(window: Window, menu: QMenu) -> None:
    _add(menu, "&About Tunesmith", window.about)


def _keys(window: Window) -> None:
    _key(window, "Alt+Left", window.go_back)
    _key(window, "Alt+Right", window.footer.forward.click)
    _key(window, "Ctrl+Return", window.footer.forward.click)
    for number, spec in enumerate(PAGES[:10], 1):  # a key with two meanings would have none
        _key(window, f"Ctrl+{number % 10}", partial(window.show_page, spec.title))


def _key(window: Window, keys: str, act: Callable[[], object]) -> None:
    QShortcut(QKeySequence(keys), window).activated.connect(act)


def _add(menu: QMenu, words: str, act: Callable[[], object], keys: str = "") -> QAction:
    action = menu.addAction(words)
    action.triggered.connect(lambda _=False: act())
    if keys:
        action.setShortcut(QKeySequence(keys))
    return action
