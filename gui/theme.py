"""Fusion, our own palette, a style sheet from tokens, and a bundled font.

`apply` may be called at any time: labels and buttons carry roles, not colours, so all of them
follow. A widget that paints by hand reads `current()` while painting; one that copies colours
(a plot) listens for QEvent.Type.PaletteChange.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QIcon, QPalette
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QPushButton, QWidget

from core.places import data_home, resources
from gui import icons
from gui.stylesheet import stylesheet
from gui.tokens import DARK, LIGHT, Theme

__all__ = ["Choice", "Theme", "apply", "current", "icon", "set_icon", "set_picture", "wear"]

Choice = Literal["system", "light", "dark"]
_IMAGES = {"image_up": "chevron-up", "image_down": "chevron-down", "image_check": "check"}
_now: Theme = LIGHT


def current() -> Theme:
    """The colours in use."""
    return _now


def apply(app: QApplication, dark: bool) -> None:
    """Dress the whole application, now and again at every change of theme."""
    global _now
    _now = DARK if dark else LIGHT
    with _no_collection():
        _prepare(app)
        app.setPalette(_palette(_now))
        app.setStyleSheet(stylesheet(_now, _images(_now)))
        for widget in app.allWidgets():
            _tint(widget)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Qt walks over all widgets here; a forgotten one, collected midway, would end the process."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def wear(app: QApplication, choice: Choice) -> None:
    """Dress in the chosen theme, title bars too; "system" follows the desktop."""
    hints = app.styleHints()
    if choice == "system":
        hints.unsetColorScheme()
        apply(app, hints.colorScheme() == Qt.ColorScheme.Dark)
    else:
        apply(app, choice == "dark")
        hints.setColorScheme(Qt.ColorScheme.Dark if choice == "dark" else Qt.ColorScheme.Light)


def icon(name: str, colour: str = "") -> QIcon:
    """An icon in a token's colour ("muted", "accent", "ok"...) or in `#rrggbb`."""
    return icons.draw(name, _colour(colour or "muted"))


def _colour(wanted: str) -> str:
    """A token's name or `#rrggbb` as the latter."""
    return wanted if wanted.startswith("#") else str(getattr(_now, wanted))


def set_icon(button: QAbstractButton, name: str, colour: str = "muted", size: int = 18) -> None:
    """Give a button an icon that follows the theme."""
    _remember(button, name, colour, size)


def set_picture(label: QLabel, name: str, colour: str = "muted", size: int = 18) -> None:
    """Make a label show an icon that follows the theme."""
    _remember(label, name, colour, size)


def _remember(widget: QWidget, name: str, colour: str, size: int) -> None:
    widget.setProperty("picture", [name, colour, size])
    _tint(widget)


def _tint(widget: QWidget) -> None:
    picture = widget.property("picture")
    if not picture:
        return
    name, colour, size = picture
    if isinstance(widget, QPushButton):
        widget.setIconSize(QSize(round(size * icons.WIDE), size))
        widget.setIcon(icons.draw(name, _colour(colour), icons.WIDE))
    elif isinstance(widget, QAbstractButton):
        widget.setIconSize(QSize(size, size))
        widget.setIcon(icon(name, colour))
    elif isinstance(widget, QLabel):
        ratio = widget.devicePixelRatioF()
        widget.setPixmap(icon(name, colour).pixmap(QSize(size, size), ratio))


def _prepare(app: QApplication) -> None:
    """Style and fonts, once."""
    if app.property("prepared"):
        return
    app.setStyle("Fusion")
    for path in sorted((resources() / "fonts").glob("*.otf")):
        QFontDatabase.addApplicationFont(str(path))
    font = QFont("Inter")
    font.setPixelSize(13)
    app.setFont(font)
    app.setProperty("prepared", True)


def _palette(theme: Theme) -> QPalette:
    """What the style sheet does not reach: placeholder text, links, item views of dialogs."""
    role = QPalette.ColorRole
    palette = QPalette()
    for colour, roles in (
        (theme.window, (role.Window,)),
        (theme.panel, (role.Base, role.Button, role.ToolTipBase)),
        (theme.raised, (role.AlternateBase, role.Midlight)),
        (theme.text, (role.Text, role.WindowText, role.ButtonText, role.ToolTipText)),
        (theme.muted, (role.PlaceholderText,)),
        (theme.accent, (role.Highlight, role.Link, role.Accent)),
        (theme.on_accent, (role.HighlightedText,)),
        (theme.control, (role.Mid, role.Dark)),
    ):
        for each in roles:
            palette.setColor(each, QColor(colour))
    for each in (role.Text, role.WindowText, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, each, QColor(theme.muted))
    return palette


def _images(theme: Theme) -> dict[str, str]:
    """A style sheet takes images from files only, so tinted arrows are written to disk."""
    folder = data_home() / "theme" / ("dark" if theme.dark else "light")
    folder.mkdir(parents=True, exist_ok=True)
    return {key: _image(folder, name, theme) for key, name in _IMAGES.items()}


def _image(folder: Path, name: str, theme: Theme) -> str:
    text = icons.svg(name, theme.on_accent if name == "check" else theme.muted)
    path = folder / f"{name}.svg"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path.as_posix()
