"""Curves on the screen. pyqtgraph takes a second to import, so it is imported on first use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from gui import theme
from gui.curves import Array, Series
from gui.widgets import Heading, PlainLabel, Swatch

MARK_SIZE = 9


@dataclass(frozen=True)
class Line:
    """How one series is drawn. `colour` counts through the theme's series."""

    key: str
    label: str
    colour: int
    width: float = 1.5
    faint: bool = False
    symbol: str = ""
    joined: bool = True
    told: bool = True
    """Read its values out; marks on another line need no words."""
    marked: bool = False
    """Show where the value was infinite or not a number."""


def figure(value: float | None) -> str:
    """A measured value at a glance: four digits, no more; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.4g}"


class Plot(QWidget):
    """One chart with a legend, a read-out under the pointer, and the same in words."""

    hovered = Signal(float)
    """The step under the pointer; not a number when the pointer left."""

    def __init__(
        self,
        title: str,
        lines: tuple[Line, ...],
        show: Callable[[float], str] = figure,
        *,
        scale: float = 1.0,
        from_zero: bool = False,
        height: int = 150,
        unit: str = "Step",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.title, self._lines, self._show, self._unit = title, lines, show, unit
        self._series: Mapping[str, Series] = {}
        self._limit: tuple[float, str] | None = None
        self._from_zero, self._log = from_zero, False
        self.readout = PlainLabel("", "small")
        self.controls = QHBoxLayout()
        self.controls.setSpacing(8)
        self._make_canvas(height, scale)
        self._lay_out()
        self._recolour()
        self.setAccessibleName(title)

    def draw(self, series: Mapping[str, Series], limit: tuple[float, str] | None = None) -> None:
        """Show these series; `limit` is a level to stay under, and its name."""
        self._series, self._limit = series, limit
        self._redraw()
        self.setAccessibleDescription(self.summary())

    def set_log(self, on: bool) -> None:
        """Draw heights by their power of ten."""
        self._log = on
        self._item.setLogMode(y=on)
        self._redraw()

    def save_png(self, path: Path) -> bool:
        """Write the chart as it is seen, legend and all; False when that is not possible."""
        return self.grab().save(str(path), "PNG")

    def words_at(self, step: float | None = None) -> str:
        """What the chart shows at a step, or at its end."""
        found = [(line, self._point(line, step)) for line in self._lines if line.told]
        told = [(line, point) for line, point in found if point and math.isfinite(point[1])]
        if not told:
            return "Nothing measured yet."
        where = max(int(point[0]) for _, point in told)
        values = (
            f"{line.label} {self._show(point[1])}{self._behind(point, where)}"
            for line, point in told
        )
        return f"{self._unit} {where:,}: {', '.join(values)}."

    def _behind(self, point: tuple[float, float], where: int) -> str:
        """A point that is not at the place in question says where it is."""
        return "" if int(point[0]) == where else f" ({self._unit.lower()} {int(point[0]):,})"

    def summary(self) -> str:
        """The newest values, and the level to stay under."""
        limit = f" {self._limit[1]}: {self._show(self._limit[0])}." if self._limit else ""
        return self.words_at() + limit

    def changeEvent(self, event: QEvent) -> None:
        """Follow a change of theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_curves"):
            self._recolour()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width shows another number of points."""
        super().resizeEvent(event)
        self._redraw()

    def leaveEvent(self, event: QEvent) -> None:
        """Back to the newest values."""
        super().leaveEvent(event)
        self.point_at(math.nan)
        self.hovered.emit(math.nan)

    def point_at(self, step: float) -> None:
        """Read out the values at a step; not a number means the end."""
        pointing = math.isfinite(step) and bool(self._series)
        self._cursor.setVisible(pointing)
        if pointing:
            self._cursor.setPos(step)
        self.readout.setText(self.words_at(step) if pointing else self.summary())

    def _make_canvas(self, height: int, scale: float) -> None:
        import pyqtgraph as pg

        self._pg: Any = pg
        self.canvas: Any = pg.PlotWidget()
        self.canvas.setFixedHeight(height)
        for part in (self.canvas, self.canvas.viewport()):
            part.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._item: Any = self.canvas.getPlotItem()
        self._item.setMenuEnabled(False)
        self._item.hideButtons()
        self._item.setMouseEnabled(x=False, y=False)
        self._item.showGrid(x=False, y=True, alpha=0.15)
        self._item.getAxis("left").setScale(scale)
        self._item.getAxis("left").setWidth(52)
        self._curves: dict[str, Any] = {line.key: self._add(line) for line in self._lines}
        self._broken: Any = self._item.plot(pen=None, symbol="x", symbolSize=MARK_SIZE)
        self._ceiling: Any = pg.InfiniteLine(angle=0, movable=False)
        self._cursor: Any = pg.InfiniteLine(angle=90, movable=False)
        for mark in (self._ceiling, self._cursor):
            mark.setVisible(False)
            self._item.addItem(mark, ignoreBounds=True)
        self._moves = pg.SignalProxy(
            self._item.scene().sigMouseMoved, rateLimit=30, slot=self._moved
        )

    def _add(self, line: Line) -> Any:
        curve = self._item.plot(antialias=True)
        if line.width >= 2:
            # A thick noisy antialiased path costs a hundred times more than its segments.
            curve.curve.setSegmentedLineMode("on")
        if line.symbol:
            curve.setZValue(5)
        return curve

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.setSpacing(6)
        head.addWidget(Heading(self.title), 1)
        head.addLayout(self.controls)
        legend = QHBoxLayout()
        legend.setSpacing(6)
        keyed = [line for line in self._lines if not line.faint]
        for line in keyed:
            legend.addWidget(Swatch(line.colour))
            legend.addWidget(_unwrapped(line.label))
            legend.addSpacing(6)
        legend.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        if len(keyed) > 1:
            column.addLayout(legend)
        column.addWidget(self.readout)
        column.addWidget(self.canvas)
        column.addStretch(1)

    def _recolour(self) -> None:
        colours = theme.current()
        self.canvas.setBackground(colours.panel)
        font = QFont(self.font())
        font.setPixelSize(11)
        for name in ("left", "bottom"):
            axis = self._item.getAxis(name)
            axis.setPen(self._pg.mkPen(colours.line))
            axis.setTextPen(self._pg.mkPen(colours.muted))
            axis.setStyle(tickFont=font, maxTickLevel=1)
        for line in self._lines:
            self._paint(line, QColor(colours.series[line.colour % len(colours.series)]))
        self._broken.setSymbolPen(self._pg.mkPen(colours.bad, width=2))
        self._ceiling.setPen(self._pg.mkPen(colours.bad, style=Qt.PenStyle.DashLine))
        self._cursor.setPen(self._pg.mkPen(colours.muted, style=Qt.PenStyle.DashLine))

    def _paint(self, line: Line, colour: QColor) -> None:
        curve = self._curves[line.key]
        if line.faint:
            colour.setAlpha(95)
        curve.setPen(self._pg.mkPen(colour, width=line.width) if line.joined else None)
        curve.setSymbolSize(MARK_SIZE if line.joined else MARK_SIZE + 5)
        curve.setSymbolBrush(colour)
        curve.setSymbolPen(self._pg.mkPen(theme.current().panel))

    def _redraw(self) -> None:
        bins = max(50, self.canvas.width())
        for line in self._lines:
            if (series := self._series.get(line.key)) is not None:
                x, y = series.thin(bins)
                self._mark(line, alone=len(y) == 1 and math.isfinite(y[0]))
                self._curves[line.key].setData(x, y)
        self._draw_broken()
        self._draw_limit()
        self._item.getViewBox().prepareForPaint()  # else it is painted once with the old range too
        self.readout.setText(self.summary())

    def _mark(self, line: Line, *, alone: bool) -> None:
        """Through a single point there is no line, so it is a dot."""
        curve, symbol = self._curves[line.key], line.symbol or ("o" if alone else None)
        if curve.opts["symbol"] != symbol:
            curve.setSymbol(symbol)

    def _draw_broken(self) -> None:
        """At the height of the last good value, for infinity has no height."""
        x: list[float] = []
        y: list[float] = []
        for line in self._lines:
            series = self._series.get(line.key)
            if line.marked and series is not None and series.last is not None:
                holes = series.broken
                x += holes.tolist()
                y += _heights(series, holes).tolist()
        self._broken.setData(x, y)

    def _draw_limit(self) -> None:
        self._ceiling.setVisible(self._limit is not None)
        top = max((float(s.y[np.isfinite(s.y)].max()) for s in self._shown()), default=1.0)
        if self._limit is not None:
            self._ceiling.setPos(self._limit[0])
            top = max(top, self._limit[0])
        if self._from_zero:
            self._item.setYRange(0, top * 1.05 or 1.0, padding=0)

    def _shown(self) -> list[Series]:
        return [
            s for line in self._lines if (s := self._series.get(line.key)) and s.last is not None
        ]

    def _point(self, line: Line, step: float | None) -> tuple[float, float] | None:
        series = self._series.get(line.key)
        if series is None or not len(series):
            return None
        return series.nearest(math.inf if step is None else step)

    def _moved(self, moved: tuple[QPointF]) -> None:
        view = self._item.getViewBox()
        if self._item.sceneBoundingRect().contains(moved[0]):
            step = float(view.mapSceneToView(moved[0]).x())
            self.point_at(step)
            self.hovered.emit(step)


def _heights(series: Series, holes: Array) -> Array:
    good = np.isfinite(series.y)
    before = np.searchsorted(series.x[good], holes) - 1
    return series.y[good][np.maximum(before, 0)]


def _unwrapped(text: str) -> PlainLabel:
    label = PlainLabel(text, "small")
    label.setWordWrap(False)
    return label
