"""Curves keep every peak, smooth honestly, and say in words what they draw."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core import history
from core.events import Evaluated, Memory, Saved, Started, Step
from core.history import History
from gui import curves, theme
from gui.charts import RunCharts
from gui.curves import Curves, Series, Smoother
from gui.plots import Line, Plot


def series(*values: float | None) -> Series:
    made = Series()
    for x, y in enumerate(values, start=1):
        made.append(x, y)
    return made


def story(steps: int = 40, **memory: int) -> History:
    told = History()
    told.apply(Started(pid=1))
    for step in range(1, steps + 1):
        told.apply(Step(step=step, total=100, loss=3.0 / step, memory=Memory(**memory)))
    return told


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=900), st.integers(5, 60))
def test_thinning_keeps_ends_and_extremes(values: list[float], bins: int) -> None:
    x, y = series(*values).thin(bins)
    assert len(x) <= 4 * bins + 2
    assert (x[-1], y[-1]) == (len(values), values[-1])
    assert (y.min(), y.max()) == (min(values), max(values))
    assert (np.diff(x) >= 0).all()


@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=900))
def test_a_series_stays_small_and_keeps_ends_and_peaks(values: list[float | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "MOST", 256)
        kept = series(*values)
    assert len(kept) <= 256
    assert (np.diff(kept.x) > 0).all()
    assert (kept.x[0], kept.x[-1]) == (1, len(values))
    known = [value for value in values if value is not None]
    found = kept.y[np.isfinite(kept.y)]
    assert (found.min(), found.max()) == (min(known), max(known)) if known else not found.size
    assert bool(kept.broken.size) == (None in values)


def test_curves_of_a_thinned_history_go_on(
    dressed: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST", 160)
    told, drawn, late = History(), Curves(), Curves()
    told.apply(Started(pid=1))
    for step in range(1, 2_001):
        told.apply(Step(step=step, total=0, loss=9.0 if step == 7 else 1.0))
        if step % 50 == 0:
            drawn.update(told)
    late.update(told)
    assert len(drawn.loss) == 2_000, "none is missed, none doubled"
    assert drawn.loss.y.max() == late.loss.y.max() == 9.0


def test_growing_keeps_what_was_there() -> None:
    grown = series(*(float(n) for n in range(1_000)))
    assert grown.y.tolist() == list(range(1_000))
    assert grown.x[-1] == 1_000


def test_values_that_are_no_numbers_are_kept_apart() -> None:
    holed = series(1.0, math.inf, None, 4.0, math.nan)
    assert holed.broken.tolist() == [2, 3, 5]
    assert holed.last == 4.0


@pytest.mark.parametrize(
    ("asked", "found"), [(-5.0, 1.0), (1.4, 1.0), (1.6, 2.0), (9.0, 3.0), (math.inf, 3.0)]
)
def test_nearest_point(asked: float, found: float) -> None:
    point = series(10.0, 20.0, 30.0).nearest(asked)
    assert point == (found, found * 10)


def test_nothing_is_near_in_an_empty_series() -> None:
    assert Series().nearest(3) is None


def test_smoothing_starts_at_the_first_value_and_ignores_gaps() -> None:
    smoother = Smoother(0.9)
    assert smoother.next(5.0) == pytest.approx(5.0)
    assert smoother.next(math.nan) == pytest.approx(5.0)
    assert smoother.next(7.0) == pytest.approx((0.9 * 5 + 7) / 1.9)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.floats(0, 0.99))
def test_smoothing_is_the_weighted_mean_of_all_values(values: list[float], weight: float) -> None:
    smoother = Smoother(weight)
    got = [smoother.next(value) for value in values][-1]
    weights = [weight**age for age in range(len(values))][::-1]
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    assert got == pytest.approx(mean, abs=1e-6)


def test_curves_grow_with_the_story() -> None:
    told, curves = story(10), Curves()
    curves.update(told)
    told.apply(Step(step=11, total=100, loss=0.5))
    told.apply(Evaluated(step=10, loss=0.7, best=True))
    told.apply(Saved(step=10, path="checkpoints/step-00000010"))
    curves.update(told)
    assert curves.loss.x.tolist() == list(range(1, 12))
    assert curves.best.x.tolist() == [10]
    assert curves.saved.x.tolist() == [10]


def test_a_resume_takes_curves_back() -> None:
    told, curves = story(40), Curves()
    curves.update(told)
    told.apply(Started(pid=2, resumed=20))
    for step in range(21, 45):
        told.apply(Step(step=step, total=100, loss=9.0))
    curves.update(told)
    assert curves.loss.x.tolist() == list(range(1, 45))
    assert set(curves.loss.y[20:]) == {9.0}


def test_another_smoothing_equals_smoothing_from_the_start() -> None:
    told, moved, fresh = story(50), Curves(0.9), Curves(0.5)
    moved.update(told)
    moved.set_smoothing(0.5)
    fresh.update(told)
    assert moved.smooth.y.tolist() == fresh.smooth.y.tolist()


def test_a_plot_says_what_it_shows(dressed: QApplication, qtbot: QtBot) -> None:
    plot = Plot("Loss", (Line("loss", "loss", 0), Line("eval", "held-out", 2)))
    qtbot.addWidget(plot)
    assert plot.words_at() == "Nothing measured yet."
    held = Series()
    held.append(2, 7.5)
    plot.draw({"loss": series(3.0, 2.0, 1.5), "eval": held})
    assert plot.accessibleDescription() == "Step 3: loss 1.5, held-out 7.5 (step 2)."
    assert plot.words_at(1.2) == "Step 2: loss 3 (step 1), held-out 7.5."
    plot.point_at(2)
    assert plot.readout.text() == "Step 2: loss 2, held-out 7.5."
    plot.point_at(math.nan)
    assert plot.readout.text() == plot.words_at()


def test_a_plot_survives_numbers_that_are_none(dressed: QApplication, qtbot: QtBot) -> None:
    plot = Plot("Norm", (Line("norm", "norm", 0, marked=True),), from_zero=True)
    qtbot.addWidget(plot)
    plot.show()
    for values in ((None,), (math.nan, 1.0), (1.0, math.inf, None, 2.0)):
        plot.draw({"norm": series(*values)}, (5.0, "Limit"))
        plot.set_log(True)
        plot.set_log(False)
    assert "norm 2" in plot.words_at()


def test_a_plot_wears_the_theme(dressed: QApplication, qtbot: QtBot) -> None:
    plot = Plot("Loss", (Line("loss", "loss", 0),))
    qtbot.addWidget(plot)
    plot.show()
    plot.draw({"loss": series(3.0, 2.0)})
    for dark in (True, False):
        theme.apply(dressed, dark=dark)
        corner = plot.canvas.grab().toImage().pixelColor(2, 2).name()
        assert corner == theme.current().panel


def test_a_chart_can_be_saved(dressed: QApplication, qtbot: QtBot, tmp_path: Path) -> None:
    plot = Plot("Loss", (Line("loss", "loss", 0),))
    qtbot.addWidget(plot)
    plot.draw({"loss": series(3.0, 2.0)})
    assert plot.save_png(tmp_path / "loss.png")
    assert not QImage(str(tmp_path / "loss.png")).isNull()
    assert not plot.save_png(tmp_path / "absent" / "loss.png")


def test_memory_is_that_of_the_card_when_there_is_one(dressed: QApplication, qtbot: QtBot) -> None:
    charts = RunCharts()
    qtbot.addWidget(charts)
    charts.show()
    charts.show_history(story(host_used=10**9, host_total=16 * 10**9))
    assert charts.host.isVisible()
    qtbot.waitUntil(lambda: "1.0 GB" in charts.host.accessibleDescription())
    assert "The computer has: 16.0 GB." in charts.host.accessibleDescription()
    charts.show_history(story(gpu_allocated=2 * 10**9, gpu_total=24 * 10**9, host_used=10**9))
    assert charts.gpu.isVisible()
    assert not charts.host.isVisible()


def test_charts_take_turns_and_none_is_passed_over(
    dressed: QApplication, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    draw = Plot.draw

    def note(plot: Plot, *told: Any) -> None:
        drawn.append(plot.title)
        draw(plot, *told)

    monkeypatch.setattr(Plot, "draw", note)
    charts = RunCharts()
    qtbot.addWidget(charts)
    for steps in range(1, 7):  # faster than all of them are drawn
        charts.show_history(story(steps))
        assert len(drawn) == steps
    each = ["Loss", "Memory", "Tokens per second", "Learning rate", "Gradient norm"]
    assert drawn == [*each, "Loss"]
    qtbot.waitUntil(lambda: len(drawn) == 10)
    assert drawn[6:] == each[1:]


def test_smoothing_slider_redraws(dressed: QApplication, qtbot: QtBot) -> None:
    charts = RunCharts()
    qtbot.addWidget(charts)
    charts.show_history(story(30))
    before = charts.curves.smooth.last
    charts.slider.setValue(0)
    assert charts.curves.smooth.last == charts.curves.loss.last != before


def test_a_run_for_rewards_draws_its_figures_and_no_held_out_loss(
    dressed: QApplication, qtbot: QtBot
) -> None:
    told = History()
    told.apply(Started(pid=1))
    for step in range(1, 5):
        metrics = {"reward": step / 4, "kl": 0.1 * step}
        told.apply(Step(step=step, total=4, loss=-0.1, metrics=metrics))
        told.apply(Evaluated(step=step, loss=None, best=True, metrics={"reward": step / 5}))
    charts = RunCharts()
    qtbot.addWidget(charts)
    charts.resize(800, 900)
    charts.show()
    charts.show_history(told)
    charts.grab()
    assert len(charts.curves.heldout) == 0
    assert set(charts.told) == {"reward", "kl"}
    assert charts.curves.told["reward"].heldout.last == 0.8
    charts.forget()
    assert all(not plot.parentWidget().isVisible() for plot in charts.told.values())


def test_a_single_point_is_a_dot_until_there_is_a_line(dressed: QApplication, qtbot: QtBot) -> None:
    plot = Plot("Loss", (Line("loss", "loss", 0),))
    qtbot.addWidget(plot)
    plot.show()
    for values, dot in ((series(2.0), True), (series(2.0, 1.0), False)):
        plot.draw({"loss": values})
        assert plot._curves["loss"].scatter.isVisible() is dot
