"""The switch in the window: seen, turned, remembered, obeyed by whatever needs the network."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from core import offline
from core.offline import HUB_VARIABLE, VARIABLE
from gui.download import Download
from gui.hub_card import HubCard
from gui.hub_data import HubDataCard
from gui.make_card import MakeCard
from gui.offline import OfflineButton, switch
from gui.session import Session


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (VARIABLE, HUB_VARIABLE):
        monkeypatch.delenv(name, raising=False)


def test_one_press_closes_and_another_opens(qtbot: QtBot) -> None:
    button, card = OfflineButton(), HubCard()
    for widget in (button, card):
        qtbot.addWidget(widget)
        widget.show()
    card.text.setText("maker/tiny")
    assert (button.text(), card.get.isEnabled(), card.away.isVisible()) == ("Online", True, False)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert offline.switched()
    assert button.text() == "Offline"
    assert "Nothing leaves this computer" in button.accessibleDescription()
    assert not any(one.isEnabled() for one in (card.get, card.plan, card.look))
    assert card.away.text().startswith("Searching and downloading is not possible: Tunesmith is")
    card.search()
    card.read_shape()
    card.download()
    assert not card.fetching.busy
    assert not card.fetching.status.isVisible()
    qtbot.mouseClick(card.away.button, Qt.MouseButton.LeftButton)
    assert not offline.switched()
    assert (button.text(), card.get.isEnabled(), card.away.isVisible()) == ("Online", True, False)


def test_where_the_environment_decides_the_switch_says_so(
    qtbot: QtBot, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "1")
    button, card = OfflineButton(), HubDataCard(session)
    for widget in (button, card):
        qtbot.addWidget(widget)
        widget.show()
    assert (button.isEnabled(), button.text()) == (False, "Offline")
    assert VARIABLE in button.accessibleDescription()
    assert VARIABLE in card.away.text()
    assert card.away.button.isHidden()
    assert not card.get.isEnabled()


def test_a_server_elsewhere_is_not_asked(qtbot: QtBot, session: Session) -> None:
    card = MakeCard(session)
    qtbot.addWidget(card)
    card.show()
    card.unfolding.unfold(True)
    switch().turn(True)
    assert not card.away.isVisible()
    card.who.setCurrentIndex(1)
    card.who.activated.emit(1)
    assert card.away.isVisible()
    assert "A server elsewhere is not possible" in card.away.text()


def test_a_download_that_goes_on_is_ended(qtbot: QtBot) -> None:
    class Fetch:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    download, fetch = Download(), Fetch()
    qtbot.addWidget(download)
    download._fetch = fetch  # type: ignore[assignment]
    switch().turn(True)
    assert fetch.cancelled
    download._fetch = None
