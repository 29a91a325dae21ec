"""The charts of a run: loss, other figures of the objective, rate, gradient, memory, speed."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Slot
from PySide6.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from core.history import History
from core.metrics import KNOWN
from core.numbers import show_bytes, show_number
from gui import messages
from gui.curves import SMOOTHING, Curves, Series
from gui.plots import Line, Plot
from gui.widgets import Card, IconButton, PlainLabel

LOSS = (
    Line("loss", "loss", 0, width=1, faint=True, marked=True),
    Line("smooth", "smoothed", 0, width=2),
    Line("heldout", "held-out rows", 2, width=2, symbol="o"),
    Line("saved", "checkpoint", 1, symbol="d", joined=False, told=False),
    Line("best", "best", 3, symbol="star", joined=False, told=False),
)
METRIC = (
    Line("steps", "steps", 0, marked=True),
    Line("heldout", "held-out rows", 2, width=2, symbol="o"),
)
MEMORY = (
    Line("used", "card in use", 4),
    Line("reserved", "reserved", 2),
    Line("allocated", "tensors", 0, width=2),
    Line("host", "process", 1, width=2),
)

Drawing = tuple[dict[str, Series], tuple[float, str] | None]
"""What a chart is told: its series, and the level to stay under with its name."""


class RunCharts(QWidget):
    """Draws the curves of one run; told by `show_history` whenever the story went on."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves = Curves()
        self.loss = Plot("Loss", LOSS, height=260)
        rate = (Line("rate", "rate", 0),)
        self.rate = Plot("Learning rate", rate, show_number, from_zero=True, height=130)
        self.norm = Plot("Gradient norm", (Line("norm", "norm", 3, marked=True),), height=130)
        self.gpu = Plot("Memory", MEMORY[:3], show_bytes, scale=1e-9, from_zero=True, height=130)
        self.host = Plot("Memory", MEMORY[3:], show_bytes, scale=1e-9, from_zero=True, height=130)
        self.speed = Plot("Tokens per second", (Line("speed", "speed", 5),), height=130)
        self.told: dict[str, Plot] = {}
        """Charts of figures beside the loss, made when a run first tells them."""
        self._waiting: dict[Plot, Drawing] = {}
        self._turn = QTimer(self, singleShot=True, interval=0)
        self._turn.timeout.connect(self._draw_next)
        self._controls()
        self._lay_out()

    @property
    def plots(self) -> tuple[Plot, ...]:
        """Every chart, the hidden one of card and computer memory included."""
        fixed = (self.loss, self.rate, self.norm, self.gpu, self.host, self.speed)
        return (*fixed, *self.told.values())

    def show_history(self, history: History) -> None:
        """Take in what is new and draw it."""
        self.curves.update(history)
        self._draw()

    def forget(self) -> None:
        """Another run comes next."""
        self.curves = Curves(self.slider.value() / 100)
        self._draw()

    def _draw(self) -> None:
        """The first chart now; one that waited already keeps its turn."""
        self._waiting.update(self._drawings())
        self._draw_next()

    @Slot()
    def _draw_next(self) -> None:
        """One chart a turn of the event loop: all at once would be felt under the pointer."""
        plot = next(iter(self._waiting))
        plot.draw(*self._waiting.pop(plot))
        if self._waiting:
            self._turn.start()

    def _drawings(self) -> dict[Plot, Drawing]:
        curves = self.curves
        loss = {
            "loss": curves.loss,
            "smooth": curves.smooth,
            "heldout": curves.heldout,
            "best": curves.best,
            "saved": curves.saved,
        }
        return {
            self.loss: (loss, None),
            **self._memory(),
            self.speed: ({"speed": curves.speed}, None),
            self.rate: ({"rate": curves.rate}, None),
            self.norm: ({"norm": curves.norm}, None),
            **self._told(),
        }

    def _told(self) -> dict[Plot, Drawing]:
        """One chart for each figure that this run tells; those of another run go."""
        known = {name: told for name, told in self.curves.told.items() if name in KNOWN}
        for name in known:
            if name not in self.told:
                self._add_chart(name)
        for name, plot in self.told.items():
            frame = plot.parentWidget()
            assert frame is not None
            frame.setVisible(name in known)
        return {
            self.told[name]: ({"steps": told.steps, "heldout": told.heldout}, None)
            for name, told in known.items()
        }

    def _add_chart(self, name: str) -> None:
        plot = Plot(KNOWN[name].title, METRIC, height=130)
        place = len(self.told)
        self.told[name] = plot
        self.figures.addWidget(_framed(plot), place // 2, place % 2)

    def _memory(self) -> dict[Plot, Drawing]:
        curves = self.curves
        owner = "The card has" if curves.on_gpu else "The computer has"
        limit = (float(curves.capacity), owner) if curves.capacity else None
        self.gpu.setVisible(curves.on_gpu)
        self.host.setVisible(not curves.on_gpu)
        if not curves.on_gpu:
            return {self.host: ({"host": curves.host}, limit)}
        shown = {"used": curves.used, "reserved": curves.reserved}
        return {self.gpu: ({**shown, "allocated": curves.allocated}, limit)}

    def _controls(self) -> None:
        self.log = QCheckBox("Log scale")
        self.log.toggled.connect(self.loss.set_log)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 99)
        self.slider.setValue(round(SMOOTHING * 100))
        self.slider.setFixedWidth(110)
        self.slider.setAccessibleName("Smoothing of the loss")
        self.slider.valueChanged.connect(self._smooth)
        label = PlainLabel("Smoothing", "small")
        label.setWordWrap(False)
        label.setBuddy(self.slider)
        save = IconButton("download", "Save this chart as a picture")
        save.clicked.connect(self._ask_where)
        for widget in (label, self.slider, self.log, save):
            self.loss.controls.addWidget(widget)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(_framed(self.loss))
        self.figures = QGridLayout()
        self.figures.setSpacing(12)
        column.addLayout(self.figures)
        grid = QGridLayout()
        grid.setSpacing(12)
        memory = Card()
        memory.add(self.gpu, self.host)
        cards = (memory, _framed(self.speed), _framed(self.rate), _framed(self.norm))
        for number, card in enumerate(cards):
            grid.addWidget(card, number // 2, number % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        column.addLayout(grid)

    @Slot(int)
    def _smooth(self, percent: int) -> None:
        self.curves.set_smoothing(percent / 100)
        self._draw()

    @Slot()
    def _ask_where(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the chart", "loss.png", "PNG (*.png)")
        if name and not self.loss.save_png(Path(name)):
            messages.tell(self, f"{name} could not be written.", "Choose another folder.")


def _framed(plot: Plot) -> Card:
    card = Card()
    card.add(plot)
    return card
