"""Numbers over steps, kept so that a million points draw as fast as a hundred, and take no more."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from core.events import Step
from core.history import History

Array = NDArray[np.float64]

SMOOTHING = 0.9
"""Share of the past in the smoothed loss, as TensorBoard's slider has it."""


MOST = 65_536
"""Points that a series keeps at most, 1 MB."""


class Series:
    """Points with growing x. A value that is not a number stays in, as a gap to be marked.

    Beyond `MOST` points, each stretch of x keeps its lowest and its highest one.
    """

    def __init__(self) -> None:
        self._x: Array = np.empty(256)
        self._y: Array = np.empty(256)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def x(self) -> Array:
        """Where."""
        return self._x[: self._size]

    @property
    def y(self) -> Array:
        """How much; not a number where nothing was measured."""
        return self._y[: self._size]

    @property
    def last(self) -> float | None:
        """The newest value that is a number."""
        finite = np.flatnonzero(np.isfinite(self.y[-64:]))
        return float(self.y[-64:][finite[-1]]) if finite.size else None

    @property
    def broken(self) -> Array:
        """Where the value is infinite or not a number."""
        return self.x[~np.isfinite(self.y)]

    def append(self, x: float, y: float | None) -> None:
        """Add one point behind the others; None leaves a gap."""
        if self._size == MOST:
            self._x, self._y = _peaks(self.x, self.y, MOST // 8)
            self._size = len(self._x)
        if self._size == len(self._x):
            self._x = np.concatenate([self._x, np.empty_like(self._x)])
            self._y = np.concatenate([self._y, np.empty_like(self._y)])
        self._x[self._size], self._y[self._size] = x, math.nan if y is None else y
        self._size += 1

    def nearest(self, x: float) -> tuple[float, float] | None:
        """The point closest to x, from the full data."""
        if not self._size:
            return None
        right = int(np.searchsorted(self.x, x))
        near = [i for i in (right - 1, right) if 0 <= i < self._size]
        best = min(near, key=lambda i: abs(self._x[i] - x))
        return float(self._x[best]), float(self._y[best])

    def thin(self, bins: int) -> tuple[Array, Array]:
        """At most about two points per bin: its lowest and its highest value."""
        few = self._size <= 2 * bins
        return (self.x, self.y) if few else _extremes(self.x, self.y, bins)


def _peaks(x: Array, y: Array, bins: int) -> tuple[Array, Array]:
    """The lowest and highest point of every stretch of x, one that is no number, and both ends."""
    stretch = np.minimum((x - x[0]) / (x[-1] - x[0]) * bins, bins - 1).astype(int)
    order = np.lexsort((y, np.isfinite(y), stretch))  # gaps first, then from low to high
    same = stretch[order][1:] == stretch[order][:-1]
    edge = np.r_[True, ~(same & (np.isfinite(y[order])[1:] == np.isfinite(y[order])[:-1]))]
    kept = np.union1d(order[edge | np.r_[edge[1:], True]], [0, len(x) - 1])
    return x[kept].copy(), y[kept].copy()


def _extremes(x: Array, y: Array, bins: int) -> tuple[Array, Array]:
    """The lowest and highest point of every bin, in their order, and the last point."""
    width = math.ceil(len(x) / bins)
    whole = len(x) // width * width
    blocks = y[:whole].reshape(-1, width)
    finite = np.isfinite(blocks)
    first = np.arange(0, whole, width)
    lowest = first + np.where(finite, blocks, np.inf).argmin(axis=1)
    highest = first + np.where(finite, blocks, -np.inf).argmax(axis=1)
    kept = np.stack([np.minimum(lowest, highest), np.maximum(lowest, highest)], axis=1).ravel()
    kept = np.append(kept, np.arange(whole, len(x)))
    if whole == len(x):
        kept = np.append(kept, len(x) - 1)
    return x[kept], y[kept]


class Smoother:
    """Exponential mean with bias correction: the first value is itself, not a tenth of it."""

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._sum, self._power = 0.0, 1.0

    def next(self, value: float) -> float:
        """The mean so far, this value included; what is not a number changes nothing."""
        if math.isfinite(value):
            self._sum = self._weight * self._sum + (1 - self._weight) * value
            self._power *= self._weight
        return self._sum / (1 - self._power) if self._power < 1 else math.nan


@dataclass
class Told:
    """One figure: of the steps, and of the held-out rows."""

    steps: Series = field(default_factory=Series)
    heldout: Series = field(default_factory=Series)


class Curves:
    """Every curve of one run, kept up with its history a few points at a time."""

    def __init__(self, weight: float = SMOOTHING) -> None:
        self._weight = weight
        self._forget()

    def _forget(self) -> None:
        self._begun: object = None
        self.loss, self.smooth = Series(), Series()
        self.rate, self.norm, self.speed = Series(), Series(), Series()
        self.allocated, self.reserved = Series(), Series()
        self.used, self.host = Series(), Series()
        self.heldout, self.best, self.saved = Series(), Series(), Series()
        self.told: dict[str, Told] = {}
        """Figures beside the loss, by the names of core.metrics."""
        self._smoother = Smoother(self._weight)
        self.capacity: int = 0
        """Bytes the card has, or the computer when there is no card."""

    def update(self, history: History) -> None:
        """Take in what is new; a resumed engine took steps back, so then everything is redrawn."""
        drawn = int(self.loss.x[-1]) if len(self.loss) else 0
        if history.started is not self._begun or history.step < drawn:
            self._forget()
            self._begun, drawn = history.started, 0
        for step in history.steps[bisect_right(history.steps, drawn, key=lambda s: s.step) :]:
            self._add(step)
        self._mark(history)

    def set_smoothing(self, weight: float) -> None:
        """Smooth anew with another share of the past."""
        self._weight = weight
        self.smooth, self._smoother = Series(), Smoother(weight)
        for x, y in zip(self.loss.x.tolist(), self.loss.y.tolist(), strict=True):
            self.smooth.append(x, self._smoother.next(y))

    @property
    def on_gpu(self) -> bool:
        """Whether the memory curves are those of a card."""
        return self.allocated.last is not None

    def _add(self, step: Step) -> None:
        memory, x = step.memory, step.step
        self.loss.append(x, step.loss)
        self.smooth.append(x, self._smoother.next(step.loss))
        self.rate.append(x, step.learning_rate)
        self.norm.append(x, step.grad_norm)
        self.speed.append(x, step.tokens_per_second)
        self.allocated.append(x, memory.gpu_allocated)
        self.reserved.append(x, memory.gpu_reserved)
        self.used.append(x, memory.gpu_used)
        self.host.append(x, memory.host_used or None)
        self.capacity = memory.gpu_total or memory.host_total
        for name, value in step.metrics.items():
            self.told.setdefault(name, Told()).steps.append(x, value)

    def _mark(self, history: History) -> None:
        """The few special points; cheap enough to be made anew each time."""
        self.heldout, self.best, self.saved = Series(), Series(), Series()
        for told in self.told.values():
            told.heldout = Series()
        for evaluated in history.evaluations:
            if evaluated.loss is not None:  # a curve of nothing but gaps cannot be drawn
                self.heldout.append(evaluated.step, evaluated.loss)
            for name, value in evaluated.metrics.items():
                self.told.setdefault(name, Told()).heldout.append(evaluated.step, value)
        if history.best and history.best.loss is not None:
            self.best.append(history.best.step, history.best.loss)
        for checkpoint in history.checkpoints:
            if (point := self.smooth.nearest(checkpoint.step)) is not None:
                self.saved.append(*point)
