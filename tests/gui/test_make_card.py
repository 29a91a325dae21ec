"""The card that has rows written: ordered, followed, called off, gone on with, and used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from core.jsonl import write_rows
from core.making import keys
from gui.fields import TextField, WholeField
from gui.make_card import MakeCard
from gui.session import Session
from tests.core.planted import clean
from tests.core.writer_server import KEY, Answer, Said, Server, rows, serve


def new_rows(number: int, _: Said) -> Answer:
    made = clean(2, seed=1000 + number)
    return rows(*((row["prompt"], row["answer"]) for row in made))


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    write_rows(path, clean(20))
    return path


@pytest.fixture
def card(
    qtbot: QtBot, dressed: QApplication, session: Session, seeds: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MakeCard]:  # fmt: skip
    for name in keys.KEYS:
        monkeypatch.delenv(name, raising=False)
    session._counting.setInterval(10**8)
    session.use_data(str(seeds))
    made = MakeCard(session)
    qtbot.addWidget(made)
    made.show()
    made.unfolding.unfold(True)
    yield made
    made.cancel()
    qtbot.waitUntil(lambda: made._making is None)


def press(qtbot: QtBot, button: QWidget) -> None:
    assert button.isEnabled()
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def fill(card: MakeCard, name: str, text: str) -> None:
    field = card.server.fields[name]
    assert isinstance(field, TextField)
    field.edit.setText(text)
    field.edit.editingFinished.emit()


def order(card: MakeCard, server: Server, wanted: int) -> None:
    card.who.setCurrentIndex(1)
    card.who.activated.emit(1)
    fill(card, "endpoint", server.url)
    fill(card, "remote_model", "big")
    card.key.setText(KEY)
    for name, number in (("rows", wanted), ("per_request", 2)):
        field = card.order.fields[name]
        assert isinstance(field, WholeField)
        field.edit.setValue(number)
        field.edit.editingFinished.emit()


def test_rows_are_ordered_and_used_as_the_dataset(
    qtbot: QtBot, card: MakeCard, session: Session, seeds: Path
) -> None:
    with serve(new_rows) as server:
        order(card, server, 4)
        assert card.sent.isVisible()
        assert card.key.echoMode() == QLineEdit.EchoMode.Password
        press(qtbot, card.start)
        qtbot.waitUntil(card.notice.isVisible, timeout=20_000)
    assert card.notice.text().startswith("4 rows are in mine.made-1.jsonl.")
    assert set(server.keys) == {f"Bearer {KEY}"}
    press(qtbot, card.notice.button)
    assert session.recipe.data.path == str(seeds.with_name("mine.made-1.jsonl"))
    assert KEY not in session.recipe.to_yaml()
    assert all(KEY.encode() not in path.read_bytes() for path in seeds.parent.glob("mine*"))


def test_a_cancelled_order_goes_on(qtbot: QtBot, card: MakeCard, seeds: Path) -> None:
    with serve(lambda n, said: new_rows(n, said) if n == 0 else Answer(stall=True)) as server:
        order(card, server, 4)
        press(qtbot, card.start)
        assert not card.start.isEnabled()
        qtbot.waitUntil(lambda: card.progress.value() == 2, timeout=20_000)
        press(qtbot, card.stop)
        qtbot.waitUntil(card.notice.isVisible)
        assert "Cancelled" in card.notice.text()
        server.answer = new_rows
        press(qtbot, card.start)
        qtbot.waitUntil(lambda: card.notice.isVisible() and card._making is None, timeout=20_000)
    assert card.notice.text().startswith("4 rows are in mine.made-1.jsonl.")
    assert not list(seeds.parent.glob("mine.made-2*"))


def test_what_goes_wrong_is_said_without_the_key(qtbot: QtBot, card: MakeCard) -> None:
    with serve(lambda *_: Answer(status=401)) as server:
        order(card, server, 4)
        press(qtbot, card.start)
        qtbot.waitUntil(card.notice.isVisible, timeout=20_000)
    assert "refuses the key" in card.notice.text()
    assert KEY not in card.notice.text()
    assert card.start.isEnabled()


def test_a_number_out_of_range_is_said_and_not_taken(qtbot: QtBot, card: MakeCard) -> None:
    edit = card.order.fields["temperature"].widget
    assert isinstance(edit, QLineEdit)
    edit.setText("7")
    edit.editingFinished.emit()
    assert "Not taken" in card.order.faults["temperature"].text()
    press(qtbot, card.start)
    assert card._making is None
    edit.setText("0.5")
    edit.editingFinished.emit()
    assert not card.order.faulty
    assert card.job().order.temperature == 0.5
    assert card.job().source.model == card.session.recipe.model
