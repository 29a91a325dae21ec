"""Engines of a window let others go first, those of a terminal do not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from core.asking import engine_environment
from core.courtesy import ASKED, NICENESS, ask_engines

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="priorities are classes there")
PROGRAM = "from core.courtesy import give_way; give_way(); print(os.nice(0))"


def niceness(before: str = "pass") -> int:
    """Of a program that gives way if it was asked to."""
    said = subprocess.run(
        [sys.executable, "-c", f"import os; {before}; {PROGRAM}"], env=engine_environment(),
        capture_output=True, check=True,
    )  # fmt: skip
    return int(said.stdout)


def test_nobody_gives_way_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ASKED, raising=False)
    assert niceness() == os.nice(0)


def test_who_is_asked_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED, "")
    ask_engines()
    assert niceness() == max(NICENESS, os.nice(0))


def test_who_already_waits_longer_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ASKED, "1")
    assert niceness(f"os.nice({NICENESS + 3})") >= NICENESS + 3
