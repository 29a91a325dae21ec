"""Every test has a home of its own and draws on an offscreen screen."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["QT_QPA_PLATFORM"] = "offscreen"

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from core import launch
from core.machine import Machine
from core.plan import Facts, make_plan
from core.recipe import Recipe
from core.rundir import RunDir
from gui import settings, theme
from gui.pages.base import Page
from gui.pages.data import SAMPLES
from gui.runner import Runner
from gui.session import Session
from gui.window import Window

Become = Callable[[list[str]], None]
STANDIN = Path(__file__).with_name("standin_engine.py")
SMALL = Machine(
    system="Linux",
    cores=2,
    memory=16_000_000_000,
    memory_free=8_000_000_000,
    disk_free=100_000_000_000,
    gpus=(),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What draws says so by its fixtures."""
    for item in items:
        if {"qtbot", "qapp"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("gui")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, empty at first."""
    place = tmp_path / "home"
    monkeypatch.setenv("TUNESMITH_HOME", str(place))
    return place


@pytest.fixture(autouse=True)
def collected_here(request: pytest.FixtureRequest) -> Iterator[None]:
    """As in the application, no widget ends in a worker's thread."""
    if "qapp" not in request.fixturenames:
        yield
        return
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def dressed(qapp: QApplication) -> QApplication:
    """The application as users see it; dressing also dresses what earlier tests left, so once."""
    if theme.current() is not theme.LIGHT or not qapp.styleSheet():
        theme.apply(qapp, dark=False)
    return qapp


@pytest.fixture
def machine() -> Machine:
    """A small computer without a GPU."""
    return SMALL


@pytest.fixture
def session(qtbot: QtBot) -> Session:
    """A recipe on a small computer without a GPU."""
    return Session(SMALL, Recipe())


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Become:
    """Engines are another program from here on; the stand-in to begin with."""

    def become(command: list[str]) -> None:
        monkeypatch.setattr(
            launch, "engine_command", lambda _run, root, *_: [sys.executable, *command, root]
        )

    become([str(STANDIN)])
    return become


@pytest.fixture
def window(dressed: QApplication, qtbot: QtBot, session: Session, engine: Become) -> Window:
    """The window, shown and settled; whatever it follows is let go of at the end."""
    made = Window(session, Runner(), settings.Looks())
    qtbot.addWidget(made, before_close_func=_let_go)
    made.show()
    qtbot.waitUntil(lambda: made.settled)
    return made


@pytest.fixture
def show(qtbot: QtBot, dressed: QApplication, session: Session) -> Callable[[type[Page]], Page]:
    """Opens a page; the engine is kept out of it."""
    session._counting.setInterval(10**8)

    def make(kind: type[Page]) -> Page:
        page = kind(session)
        qtbot.addWidget(page)
        page.resize(960, 900)
        page.show()
        return page

    return make


def known(qtbot: QtBot, session: Session) -> None:
    """The starter model and the tickets."""
    session.use_data(SAMPLES[0].path, SAMPLES[0].heldout)
    session.edit("model", "starter")
    session.begin()
    qtbot.waitUntil(lambda: session.facts.data is not None)


def nameless(page: QWidget) -> list[QWidget]:
    """What the keyboard reaches and a screen reader could not call by a name."""
    return [
        widget
        for widget in page.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.isVisibleTo(page)
        and not widget.accessibleName()
        and widget.objectName() not in ("qt_spinbox_lineedit", "qt_scrollarea_viewport")
    ]


def questions(path: Path, count: int) -> str:
    """A file of so many rows of a prompt and an answer."""
    made = ({"prompt": f"{path.stem} {n}?", "completion": f"{n}."} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return str(path)


def _let_go(widget: QWidget) -> None:
    assert isinstance(widget, Window)
    widget.leave()


@pytest.fixture
def live_run(home: Path) -> Iterator[Callable[[], RunDir]]:
    """Begins a run whose engine is a small process that says and obeys what a real one does."""
    children: list[subprocess.Popen[bytes]] = []

    def begin() -> RunDir:
        recipe = Recipe(name="live")
        plan = make_plan(recipe, Facts(machine=SMALL))
        run = RunDir.create(home / "runs" / "live", recipe, plan.model_dump_json())
        children.append(
            subprocess.Popen(
                [sys.executable, str(STANDIN), str(run.root)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
        )
        stdout = children[-1].stdout
        assert stdout is not None
        assert stdout.readline().strip() == b"holding"
        return run

    yield begin
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
