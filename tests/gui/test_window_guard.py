"""A window that cannot open says why; an unexpected error ends in a log and a sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import PySide6
import pytest
from PySide6.QtGui import QImage, QPainter, QPen
from PySide6.QtWidgets import QApplication, QMessageBox
from pytestqt.qtbot import QtBot

from core.errors import HubError
from gui import guard, messages

ROOT = Path(guard.__file__).parents[1]


@pytest.mark.parametrize(
    ("qt", "python", "refused"),
    [
        ("6.12.0", (3, 11), True),
        ("6.12.0", (3, 10), True),
        ("6.12.0", (3, 12), False),
        ("6.12.0", (3, 14), False),
        ("6.12.1", (3, 11), False),
        ("6.11.3", (3, 11), False),
    ],
)
def test_the_pair_that_crashes_is_refused(qt: str, python: tuple[int, int], refused: bool) -> None:
    answer = guard.broken_pair(qt, python)
    assert (answer is not None) == refused
    if answer:
        assert f"Python {python[0]}.{python[1]}" in answer.text
        assert "3.12" in answer.hint


def window_process(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m gui` with an environment of its own, and what it imported at exit."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    code = (
        "import sys; from gui.__main__ import main; status = main([]); "
        "print('qt' if 'PySide6.QtWidgets' in sys.modules else 'no qt'); sys.exit(status)"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=kept | {"TUNESMITH_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python does not count None")
def test_the_pair_is_refused_before_qt_is_imported(tmp_path: Path) -> None:
    record = tmp_path / "site" / "PySide6_Essentials-6.12.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: PySide6_Essentials\n"
                                     "Version: 6.12.0\n", encoding="utf-8")  # fmt: skip
    done = window_process(
        tmp_path, PYTHONPATH=f"{tmp_path / 'site'}:{ROOT}", QT_QPA_PLATFORM="offscreen"
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: PySide6 6.12.0 crashes on Python 3.11")
    assert "hint: " in done.stderr
    assert done.stdout.strip() == "no qt"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
@pytest.mark.parametrize("environment", [{}, {"DISPLAY": ":4242"}], ids=["none", "dead"])
def test_no_screen_is_said_plainly(tmp_path: Path, environment: dict[str, str]) -> None:
    done = window_process(tmp_path, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "tunesmith demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_screen_or_a_chosen_platform_is_enough() -> None:
    assert guard.no_display({"DISPLAY": ":0"}, "linux") is None
    assert guard.no_display({"WAYLAND_DISPLAY": "wayland-0"}, "linux") is None
    assert guard.no_display({"QT_QPA_PLATFORM": "offscreen"}, "linux") is None
    assert guard.no_display({}, "win32") is None
    assert guard.no_display({}, "linux") is not None


@pytest.mark.parametrize(
    ("message", "library", "package"),
    [
        ("libEGL.so.1: cannot open shared object file: No such file", "libEGL.so.1", "libegl1"),
        ("libxkbcommon.so.0: cannot open shared object", "libxkbcommon.so.0", "libxkbcommon0"),
        ("libdbus-1.so.3: cannot open shared object file", "libdbus-1.so.3", "libdbus-1-3"),
        ("libglib-2.0.so.0: cannot open shared object", "libglib-2.0.so.0", "libglib2.0-0"),
        ("libxcb-cursor.so.0: cannot open shared", "libxcb-cursor.so.0", "libxcb-cursor0"),
        ("libstrange.so.7: cannot open shared object file", "libstrange.so.7", "Install it"),
    ],
)
def test_a_missing_library_names_its_package(message: str, library: str, package: str) -> None:
    answer = guard.missing_library(message)
    assert library in answer.text
    assert package in answer.hint


def test_another_import_fault_keeps_its_words() -> None:
    assert "DLL load failed" in guard.missing_library("DLL load failed").text


def test_references_to_none_are_kept(qapp: QApplication) -> None:
    """The fault of PySide6 6.12.0 on Python 3.11 would lose one at each of these calls."""
    image = QImage(8, 8, QImage.Format.Format_ARGB32)
    pen, painter = QPen(), QPainter(image)
    before = sys.getrefcount(None)
    for _ in range(1000):
        painter.setPen(pen)
    lost = before - sys.getrefcount(None)
    painter.end()
    assert lost < 100, f"{PySide6.__version__} loses references to None"


def boxes(qtbot: QtBot) -> list[QMessageBox]:
    return [
        w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox) and w.isVisible()
    ]


def caught(net: messages.Net, error: Exception) -> None:
    try:
        raise error
    except type(error) as raised:
        net.catch(type(raised), raised, raised.__traceback__)


def test_an_unexpected_error_is_logged_and_said_once(
    dressed: QApplication, qtbot: QtBot, tmp_path: Path
) -> None:
    net = messages.Net(tmp_path / "deep" / "window.log")
    for _ in range(3):
        caught(net, ZeroDivisionError("division by zero"))
    shown = boxes(qtbot)
    assert len(shown) == 1
    said = shown[0].text() + shown[0].informativeText()
    assert "Traceback" not in said
    assert "ZeroDivisionError" not in said
    assert str(net.log) in said
    assert net.log.read_text(encoding="utf-8").count("ZeroDivisionError") == 3
    shown[0].close()
    caught(net, HubError("The Hub refuses.", hint="Log in."))
    (box,) = boxes(qtbot)
    assert box.text() == "The Hub refuses."
    assert box.informativeText() == "Log in."
    box.close()


def test_a_log_that_cannot_be_written_does_not_make_it_worse(
    dressed: QApplication, qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    net = messages.Net(tmp_path / "file" / "window.log")
    caught(net, ZeroDivisionError())
    (box,) = boxes(qtbot)
    box.close()


def test_an_error_in_a_slot_shows_no_traceback(tmp_path: Path) -> None:
    code = (
        "from PySide6.QtCore import QTimer\n"
        "from gui import app, messages\n"
        "made = app.make_application()\n"
        "messages.Net(messages.log_file(), made).install()\n"
        "QTimer.singleShot(0, lambda: 1 / 0)\n"
        "QTimer.singleShot(300, made.quit)\n"
        "made.exec()\n"
    )
    environment = {"TUNESMITH_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert "ZeroDivisionError" in (tmp_path / "window.log").read_text(encoding="utf-8")
