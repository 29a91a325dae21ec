"""Datasets of the Hub in the window, from a Hub that runs on this computer."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from gui.hub_data import HubDataCard
from gui.pages.base import Page
from gui.pages.data import DataPage
from gui.session import Session
from tests.core.hub_server import Repo, serve

ROWS = "".join(
    json.dumps({"prompt": f"What is {n} plus {n}?", "completion": f"{2 * n}"}) + "\n"
    for n in range(60)
).encode()


def test_a_dataset_is_downloaded_and_used(
    qtbot: QtBot,
    session: Session,
    show: Callable[[type[Page]], Page],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    page = show(DataPage)
    assert isinstance(page, DataPage)
    page.hub.unfold(True)
    card = page.hub.content
    assert isinstance(card, HubDataCard)
    with serve({"datasets/maker/talks": Repo({"train.jsonl": ROWS})}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        qtbot.keyClicks(card.name, "maker/none")
        qtbot.mouseClick(card.get, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not card.fetching.busy, timeout=30_000)
        assert "maker/none" in card.fetching.notice.text()
        card.name.set_text("maker/talks")
        qtbot.mouseClick(card.get, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: session.facts.data is not None, timeout=30_000)
    assert session.recipe.data.path == "hub:maker/talks"
    assert session.facts.data is not None
    assert session.facts.data.rows == 60
    assert page.zone.isVisible()


def test_a_name_that_is_none_is_refused(qtbot: QtBot, session: Session) -> None:
    card = HubDataCard(session)
    qtbot.addWidget(card)
    card.show()
    card.name.set_text("not a name")
    card.download()
    assert "is not the name of a Hub dataset" in card.fetching.notice.text()
