"""RLHF as one path: what waits, what can begin, and the whole way with the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from core import ladder
from core.machine import Machine
from core.merging import whole_model
from core.places import datasets_home, runs_home, sample
from core.recipe import Recipe, parse
from core.rundir import RunDir
from gui import settings
from gui.pages.ladder import LadderPage
from gui.pages.rank import RankPage
from gui.rank_setup import TYPED
from gui.runner import Runner
from gui.session import Session
from gui.window import Window

PATIENCE = 300_000
"""Milliseconds for the slowest thing waited for: an engine on a busy machine."""


def made(name: str, result: str, **raw: Any) -> RunDir:
    run = RunDir.create(runs_home() / name, parse({"name": name, **raw}), "{}")
    (run.root / result).mkdir(parents=True)
    return run


@pytest.fixture
def page(dressed: QApplication, qtbot: QtBot, session: Session) -> LadderPage:
    built = LadderPage(session, Runner())
    qtbot.addWidget(built)
    built.resize(900, 800)
    return built


def look(qtbot: QtBot, page: LadderPage) -> list[tuple[str, bool]]:
    """How each stage stands once the disk was looked at, and whether its button works."""
    page.show_rungs(ladder.look(runs_home(), datasets_home()))
    return [(rung.chip.text(), rung.way.isEnabled()) for rung in page.rungs]


def test_a_stage_waits_for_the_one_before(qtbot: QtBot, page: LadderPage) -> None:
    waits = ("waits for the stage before", False)
    assert look(qtbot, page) == [("can begin", True), waits, waits, waits]
    policy = made("policy", "model")
    assert look(qtbot, page) == [("done", True), ("can begin", True), waits, waits]
    datasets_home().mkdir(parents=True)
    (datasets_home() / "mine.preferences.jsonl").touch()
    assert look(qtbot, page)[2] == ("can begin", True)
    made("judge", "adapter", model=str(policy.model), objective={"kind": "reward"})
    assert look(qtbot, page)[3] == ("can begin", True)


def test_stages_set_up_recipes_and_undo_brings_the_old_one_back(
    qtbot: QtBot, page: LadderPage
) -> None:
    policy = made("policy", "model")
    datasets_home().mkdir(parents=True)
    (datasets_home() / "mine.preferences.jsonl").touch()
    look(qtbot, page)
    page.show()
    gone: list[str] = []
    page.go.connect(gone.append)
    before = page.session.recipe
    qtbot.mouseClick(page.rungs[2].way, Qt.MouseButton.LeftButton)
    assert page.session.recipe.objective.kind == "reward"
    assert page.session.recipe.model == str(policy.model)
    assert gone == ["Review"]
    page.session.undo()
    assert page.session.recipe == before


def test_a_reward_model_of_another_policy_is_told(qtbot: QtBot, page: LadderPage) -> None:
    made("policy", "model")
    datasets_home().mkdir(parents=True)
    (datasets_home() / "mine.preferences.jsonl").touch()
    made("judge", "adapter", objective={"kind": "reward"})
    look(qtbot, page)
    page.show()
    qtbot.mouseClick(page.rungs[3].way, Qt.MouseButton.LeftButton)
    assert "judges for another model" in page.trouble.text()
    assert page.session.recipe.objective.kind == "sft"


@pytest.fixture
def real(
    dressed: QApplication, qtbot: QtBot, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Window]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    window = Window(Session(machine, Recipe()), Runner(), settings.Looks())
    qtbot.addWidget(window, before_close_func=lambda widget: widget.leave())
    window.show()
    qtbot.waitUntil(lambda: window.settled)
    yield window
    window.runner.stop_and_wait()


def train(qtbot: QtBot, window: Window, **changes: Any) -> RunDir:
    """Start what Review shows, with few steps, and wait for the end."""
    short = {"training.max_steps": 3, "checks.score_rows": 2, "checks.answer_length": 8}
    for path, value in (short | changes).items():
        assert window.session.edit(path, value)
    qtbot.waitUntil(lambda: window.session.facts.tokens is not None, timeout=PATIENCE)
    assert window.session.plan.ready, window.session.plan.problems
    window.show_page("Review")
    window.go_forward()
    assert window.title == "Run"
    qtbot.waitUntil(lambda: window.runner.outcome().state == "finished", timeout=PATIENCE)
    qtbot.waitUntil(lambda: not window.runner.alive(), timeout=PATIENCE)
    assert window.runner.run is not None
    return window.runner.run


def compare(qtbot: QtBot, window: Window) -> None:
    """Answers of the newest run to some prompts, judged by keyboard and written as preferences."""
    page = window.page("Rank")
    assert isinstance(page, RankPage)
    page.setup.source.setCurrentIndex(page.setup.source.findData(TYPED))
    page.setup.prompts.setPlainText("\n".join(f"Tell me about number {n}." for n in range(12)))
    names = page.setup.models
    for place in range(names.count()):
        run = bool(place)  # the first is the model as it is
        names.item(place).setCheckState(Qt.CheckState.Checked if run else Qt.CheckState.Unchecked)
    qtbot.mouseClick(page.setup.begin, Qt.MouseButton.LeftButton)
    shown = (page.duel, page.outcome, page.setup.trouble)
    qtbot.waitUntil(lambda: any(part.isVisible() for part in shown), timeout=PATIENCE)
    assert page.duel.isVisible(), page.setup.trouble.text()
    while page.duel.isVisible():
        qtbot.keyClick(page.duel, Qt.Key.Key_1)
    qtbot.mouseClick(page.outcome.write, Qt.MouseButton.LeftButton)
    assert list(datasets_home().glob(ladder.PREFERENCES))


@pytest.mark.slow
@pytest.mark.engine
def test_the_whole_path_with_the_real_engine(qtbot: QtBot, real: Window, tmp_path: Path) -> None:
    rows = tmp_path / "tickets.jsonl"
    lines = sample("tickets.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    rows.write_text("".join(lines[:40]), encoding="utf-8")
    path = real.page("RLHF")
    assert isinstance(path, LadderPage)

    real.show_page("RLHF")
    qtbot.mouseClick(path.rungs[0].way, Qt.MouseButton.LeftButton)
    assert real.title == "Data"
    assert real.session.edit("data.path", str(rows))
    policy = train(qtbot, real)

    real.show_page("RLHF")
    qtbot.waitUntil(path.rungs[1].way.isEnabled, timeout=10_000)
    qtbot.mouseClick(path.rungs[1].way, Qt.MouseButton.LeftButton)
    assert real.title == "Rank"
    compare(qtbot, real)

    real.show_page("RLHF")
    qtbot.waitUntil(path.rungs[2].way.isEnabled, timeout=10_000)
    qtbot.mouseClick(path.rungs[2].way, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: real.title == "Review", timeout=PATIENCE)
    assert real.session.recipe.objective.kind == "reward"
    assert whole_model(policy) == policy.merged
    judge = train(qtbot, real)

    real.show_page("RLHF")
    qtbot.waitUntil(path.rungs[3].way.isEnabled, timeout=10_000)
    qtbot.mouseClick(path.rungs[3].way, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: real.title == "Review", timeout=PATIENCE)
    (reward,) = real.session.recipe.objective.rewards  # type: ignore[attr-defined]
    assert reward.run == str(judge.root)
    last = train(qtbot, real, **{"objective.longest_answer": 8, "training.micro_batch": 4})
    assert last.adapter.is_dir()
    assert all("reward" in step.metrics for step in last.history().steps)
    assert last.history().after is not None

    real.show_page("RLHF")
    qtbot.waitUntil(lambda: path.rungs[3].chip.text() == "done", timeout=10_000)
