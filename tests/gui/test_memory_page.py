"""The Memory page: bill, other GPUs, the traced step, ways to fit, export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QMessageBox
from pytestqt.qtbot import QtBot

from core.catalog import find_gpu
from core.places import corrections_file
from gui.pages.base import Page
from gui.pages.memory import MemoryPage
from gui.pages.model import ModelPage
from gui.session import Session
from gui.verdict import judge
from gui.widgets import Chip, FixButton, LinkButton
from tests.gui.conftest import known

LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.fixture
def page(session: Session, show: Callable[[type[Page]], Page]) -> MemoryPage:
    shown = show(MemoryPage)
    assert isinstance(shown, MemoryPage)
    return shown


def test_the_bill_is_drawn_and_lowered(qtbot: QtBot, session: Session, page: MemoryPage) -> None:
    assert page.bill.verdict.text().startswith("Choose a model")
    known(qtbot, session)
    assert page.bill.verdict.text().startswith("Fits")
    before = session.plan.needed
    qtbot.mouseClick(page.savings.ways.findChildren(FixButton)[0], Qt.MouseButton.LeftButton)
    assert session.plan.needed < before


def test_verdicts(qtbot: QtBot, session: Session) -> None:
    known(qtbot, session)
    assert session.plan.bill is not None
    sure = session.plan.bill.model_copy(update={"band": 0.05})
    needed = session.plan.needed
    levels = [
        judge(session.plan.model_copy(update={"bill": sure, "limit": limit}))[0]
        for limit in (needed // 2, round(needed * 1.04), needed * 4)
    ]
    assert levels == ["bad", "warn", "ok"]


def test_a_well_known_model_is_planned_for_a_card_that_is_not_here(
    qtbot: QtBot, session: Session, page: MemoryPage
) -> None:
    session.edit("model", LLAMA)
    assert session.facts.model is not None
    assert not session.facts.model.here
    choose(page, "RTX 4090")
    assert session.plan.limit == find_gpu("RTX 4090").vram_bytes
    assert page.bill.limit.text().endswith("RTX 4090")
    assert any(problem.where == "machine" for problem in session.plan.blockers)
    page.bill.device.setCurrentIndex(0)
    page.bill.device.activated.emit(0)
    assert session.facts.machine == session.machine


def test_the_model_page_offers_well_known_models(
    session: Session, show: Callable[[type[Page]], Page]
) -> None:
    model_page = show(ModelPage)
    assert isinstance(model_page, ModelPage)
    index = model_page.known.findData(LLAMA)
    model_page.known.activated.emit(index)
    assert session.recipe.model == LLAMA
    assert model_page.known.currentIndex() == index
    assert model_page.facts.facts()["Folder"].startswith("not on this computer")


def test_what_is_too_large_is_made_to_fit_in_one_undoable_click(
    qtbot: QtBot, session: Session, page: MemoryPage
) -> None:
    session.edit("model", LLAMA)
    choose(page, "RTX 3090")
    session.edit("training.checkpointing", "off")
    session.edit("training.micro_batch", 32)
    assert page.bill.verdict.text().startswith("Does not fit")
    before = session.recipe
    qtbot.mouseClick(page.savings.all, Qt.MouseButton.LeftButton)
    assert session.plan.fit != "no"
    session.undo()
    assert session.recipe == before


def test_other_gpus_are_judged_and_can_be_planned_for(
    qtbot: QtBot, session: Session, page: MemoryPage
) -> None:
    session.edit("model", LLAMA)
    offers = page.offers
    assert {option.fits for option in offers.offers} <= {"fits", "tight", "no"}
    chips = [chip.text() for chip in offers.table.findChildren(Chip)]
    assert chips == [option.fits for option in offers.offers[: len(chips)]]
    assert not offers.rest.isVisible()
    button = offers.table.findChildren(LinkButton)[0]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert session.facts.machine.gpus[0].name == offers.offers[0].name
    assert page.bill.device.currentData() == offers.offers[0].name
    assert "Largest well-known model that fits" in offers.largest.text()
    assert "The rule of thumb for 7B" in offers.rule.text()


@pytest.mark.slow
def test_the_step_is_traced_and_the_whole_window_takes_it_over(
    qtbot: QtBot, session: Session, page: MemoryPage
) -> None:
    session.begin()
    qtbot.mouseClick(page.trace.button, Qt.MouseButton.LeftButton)
    assert session.tracing
    assert not page.trace.button.isEnabled()
    qtbot.waitUntil(lambda: not session.tracing, timeout=120_000)
    assert session.plan.bill is not None
    assert session.plan.bill.method == "traced"
    assert page.bill.method.text() == "traced"
    assert page.trace.plot.isVisible()
    assert "Most is needed in" in page.trace.said.text()
    session.edit("training.micro_batch", 2)
    assert session.plan.bill is not None
    assert session.plan.bill.method == "closed-form", "another step was not traced"
    assert page.trace.button.isVisible()


@pytest.mark.slow
def test_trial_steps_are_taken_told_and_forgotten_with_the_recipe(
    qtbot: QtBot, session: Session, page: MemoryPage
) -> None:
    session.begin()
    assert not page.trial.button.isEnabled()
    known(qtbot, session)
    qtbot.mouseClick(page.trial.button, Qt.MouseButton.LeftButton)
    assert page.trial.busy.isVisible()
    qtbot.mouseClick(page.trial.stop, Qt.MouseButton.LeftButton)
    assert not page.trial.busy.isVisible()
    assert page.trial.result.isHidden()
    qtbot.mouseClick(page.trial.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not page.trial.errand.busy, timeout=120_000)
    assert page.trial.result.text().startswith("Measured on this machine: ")
    assert corrections_file().is_file() or page.trial.odd.isVisible()
    session.edit("training.micro_batch", 2)
    assert page.trial.result.isHidden()


def test_a_step_that_cannot_be_traced_says_why(
    qtbot: QtBot, session: Session, page: MemoryPage, tmp_path: Path
) -> None:
    session.begin()
    assert session.facts.model is not None
    gone = session.facts.model.model_copy(update={"path": tmp_path / "gone"})
    session.facts = session.facts.model_copy(update={"model": gone})
    qtbot.mouseClick(page.trace.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(page.trace.trouble.isVisible, timeout=60_000)
    assert "gone" in page.trace.trouble.text()
    assert page.trace.button.isEnabled()


def test_the_plan_is_exported(
    qtbot: QtBot, session: Session, page: MemoryPage, tmp_path: Path
) -> None:
    session.edit("model", LLAMA)
    for name in ("plan.html", "memory.csv", "gpus.csv", "memory.png"):
        page.bill.export.write(name, tmp_path / name)
    assert LLAMA in (tmp_path / "plan.html").read_text(encoding="utf-8")
    assert "RTX 4090" in (tmp_path / "gpus.csv").read_text(encoding="utf-8")
    assert "Weights" in (tmp_path / "memory.csv").read_text(encoding="utf-8")
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")
    page.bill.export.write("gpus.csv", tmp_path / "none" / "gpus.csv")
    (box,) = page.findChildren(QMessageBox)
    assert "was not written" in box.text()
    box.close()


def choose(page: MemoryPage, name: str) -> None:
    """Take a card from the list, as a user does."""
    index = page.bill.device.findData(name)
    page.bill.device.setCurrentIndex(index)
    page.bill.device.activated.emit(index)
