"""Stroke icons (Lucide, ISC licence), drawn in any colour at any size."""

from __future__ import annotations

from functools import cache

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QIcon, QPainter, QPixmap
from PySide6.QtSvg import QSvgRenderer

from core.places import resources

SIZE = 24
"""Nominal size; drawn once, twice and three times as large for dense screens."""


def svg(name: str, colour: str) -> str:
    """The drawing as text in one colour."""
    text = (resources() / "icons" / f"{name}.svg").read_text(encoding="utf-8")
    return text.replace("currentColor", colour)


WIDE = 4 / 3
"""Buttons put no room between icon and words, so their icons bring it along."""


@cache
def draw(name: str, colour: str, stretch: float = 1) -> QIcon:
    """An icon in one colour; `stretch` widens the ground, not the drawing."""
    icon = QIcon()
    renderer = QSvgRenderer(QByteArray(svg(name, colour).encode()))
    for scale in (1, 2, 3):
        icon.addPixmap(_pixmap(renderer, SIZE * scale, round(SIZE * scale * stretch)))
    return icon


def _pixmap(renderer: QSvgRenderer, side: int, width: int) -> QPixmap:
    pixmap = QPixmap(width, side)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    renderer.render(painter, QRectF((width - side) / 2, 0, side, side))
    painter.end()
    return pixmap
